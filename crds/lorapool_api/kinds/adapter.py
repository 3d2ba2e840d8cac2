"""`LoraAdapter`: one adapter file that joins a pool."""

from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Final

from pydantic import ConfigDict, Field, WithJsonSchema

from lorapool_api.kinds.base_model import ModelId
from lorapool_api.kinds.conditions import AdapterCondition, AnyReason, Conditions, find
from lorapool_api.kinds.metadata import Metadata, PoolRef
from lorapool_api.kinds.quantities import Copies
from lorapool_api.kinds.serving import AdapterDefaults, FoundDefaults
from lorapool_api.kinds.sources import AdapterSource, Sha256
from lorapool_api.kinds.status.adapter_pods import AdapterPods
from lorapool_api.kinds.status.card import CardBaseModels, CardPicture
from lorapool_api.kinds.status.names import HeldNames
from lorapool_api.kinds.versions.rollout import Rollout
from lorapool_api.names import full_name
from lorapool_api.newer import ANY_WORD, OPEN, Word
from lorapool_api.schema import ApiModel, Rule, rules


class AdapterFormat(StrEnum):
    """Layouts of adapter files."""

    DIFFUSERS = "diffusers"
    PEFT = "peft"
    KOHYA = "kohya"


# The key of no pool: where adapters belong for which none was found yet.
NO_POOL: Final = ""

AnyFormat = Annotated[AdapterFormat | Word, OPEN, ANY_WORD]


class AdapterSpec(ApiModel):
    """The wanted state of an adapter."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "has(self.poolRef) || has(self.source.hub)",
                "poolRef can be left out where source is hub: the pool is found from the repository's card",
            ),
            Rule(
                "!has(self.source.stack) || !(has(self.sha256) || has(self.copies) || (has(self.pin) && self.pin) || "
                "has(self.rollout))",
                "sha256, copies, pin and rollout are of the members of a stack, not of the stack",
            ),
            Rule(
                "!(has(self.follow) && self.follow) || !(has(self.sha256) || has(self.source.path) || "
                "has(self.source.stack))",
                "follow goes with a source that the operator looks at and without sha256: not with path or stack",
            ),
        )
    )

    pool_ref: PoolRef | None = Field(
        default=None,
        description="The pool that serves the adapter. When it is changed, the old pool serves the adapter until the "
        "new one does. Default, for hub sources: the pool whose base model the repository's card names, in the "
        "adapter's own namespace or else in any that takes it.",
    )
    source: AdapterSource = Field(description="Where the weights file comes from; or stack: others.")
    sha256: Sha256 | None = None
    follow: bool = Field(
        default=False,
        description="Look at the source again every few minutes; another file there is rolled out as an edit is.",
    )
    model_ids: tuple[ModelId, ...] = Field(
        default=(),
        description="Names that a request may use, for example the Hub id. The object's own name always works.",
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    scale: float = Field(default=1.0, description="Strength, where a request does not say.", ge=-10, le=10)
    trigger_words: tuple[str, ...] = Field(
        default=(),
        description="Words that bring the adapter out in a prompt, told to clients.",
        max_length=32,
    )
    defaults: AdapterDefaults | None = Field(
        default=None,
        description="What a request with the adapter gets that does not say, before the pool's serving.defaults: for "
        "one of few steps its steps, guidance and sampler.",
    )
    copies: Copies | None = Field(
        default=None,
        description="Pods that bring it ahead of requests; All: every pod. Default: the pool's adapters.copies.",
    )
    pin: bool = Field(
        default=False,
        description="Its copies bring it to the device at once, and keep it there; there is at least one.",
    )
    rollout: Rollout | None = Field(default=None, description="How an edit of source or sha256 comes into service.")
    suspend: bool = Field(default=False, description="Refuse requests and free the pods of it, but keep the object.")


class Resolved(ApiModel):
    """What the source turned out to be."""

    revision: str | None = Field(default=None, description="Commit on the Hub, or ETag in an object store.")
    file: str | None = Field(default=None, description="File in the repository, or name of the file.")
    sha256: str | None = Field(default=None, description="sha256 of the file.")
    size_bytes: int | None = Field(default=None, description="Size of the file.")
    rank: int | None = Field(default=None, description="Highest rank in the file.")
    targets: int | None = Field(default=None, description="How many modules of the base it changes.")
    format: AnyFormat | None = Field(default=None, description="Layout of the file.")
    networks: tuple[Word, ...] | None = Field(
        default=None,
        description="Kinds of change in the file: lora, locon (with convolutions), dora, loha, lokr, full.",
        max_length=8,
    )
    trigger_words: tuple[str, ...] | None = Field(
        default=None,
        description="Words that call it, as metadata or card say; those of the spec go before them.",
        max_length=8,
    )
    merge_loss: float | None = Field(
        default=None,
        description="The share of its change, by the squared norm, that merging would round away; a pod measures it.",
    )
    defaults: FoundDefaults | None = Field(
        default=None,
        description="What requests get that do not say, as the file's metadata declares it or as it is known by its "
        "name; those of the spec go before it.",
    )
    base_models: CardBaseModels = ()
    thumbnail: CardPicture = None
    alone: bool | None = Field(
        default=None,
        description="True where nothing that may belong to the file lies beside it: pods need not ask for that.",
        exclude_if=lambda alone: alone is None,
    )


# The spec has its schema, and the API server has checked it there.
RecordedSource = Annotated[
    AdapterSource, WithJsonSchema({"type": "object", "x-kubernetes-preserve-unknown-fields": True})
]


class AdapterVersion(Resolved):
    """One file that the adapter is, was or shall become."""

    key: str = Field(
        default="",
        description="Its key in the pods' catalog: it never means another file.",
        exclude_if=lambda key: not key,
    )
    source: RecordedSource = Field(description="Its source as it was written.")
    generation: int = Field(default=0, description="The generation that asked for it.")
    refresh: str | None = Field(default=None, description="Value of the annotation lorapool.dev/refresh it answers.")
    tag: str | None = Field(default=None, description="What the source calls this content: the ETag of an address.")


class CandidateVersion(AdapterVersion):
    """The version that an edit asks for, beside the one that is served."""

    reason: AnyReason = Field(description="Why it has not taken over, in one word.")
    message: str = Field(description="Why it has not taken over, in a sentence.", max_length=32768)
    verified_time: datetime | None = Field(default=None, description="When a pod had it on its disk, checked.")
    percent: int | None = Field(
        default=None,
        description="Percent of requests that get it, by rollout.canary; none while pods do not have it.",
        exclude_if=lambda percent: percent is None,
    )


class AdapterStatus(ApiModel):
    """The observed state of an adapter."""

    observed_generation: int | None = Field(default=None, description="The generation that this status is about.")
    pool_name: str | None = Field(
        default=None,
        description="The pool that serves it, as namespace/name. While it moves, the one that it leaves.",
    )
    resolved: Resolved | None = Field(
        default=None, description="What the source of the served version turned out to be."
    )
    serving: AdapterVersion | None = Field(default=None, description="The version that is served, once there is one.")
    candidate: CandidateVersion | None = Field(
        default=None, description="The version that takes over when pods have verified it."
    )
    previous: AdapterVersion | None = Field(
        default=None, description="The version that was served before: an edit back to it takes effect at once."
    )
    names: HeldNames = ()
    pods: AdapterPods | None = Field(default=None, description="The pods that serve it.")
    summary: str | None = Field(default=None, description="The reason of the first condition that is not true.")
    conditions: Conditions = Field(default=(), description="Accepted, Resolved, Compatible, Ready and UpToDate.")


class Adapter(ApiModel):
    """A `LoraAdapter` as it was read."""

    metadata: Metadata
    spec: AdapterSpec
    status: AdapterStatus = AdapterStatus()

    @cached_property
    def key(self) -> str:
        """`namespace/name`."""
        return self.metadata.key

    @cached_property
    def pool_key(self) -> str:
        """Key of the pool that it belongs to: of the one that it names, or that was found for it, else `NO_POOL`."""
        if (ref := self.spec.pool_ref) is None:
            return self.status.pool_name or NO_POOL
        return full_name(ref.namespace or self.metadata.namespace, ref.name)

    @property
    def serving_pool(self) -> str:
        """Key of the pool whose pods serve it: while it moves, of the one that it leaves."""
        return self.status.pool_name or self.pool_key

    @property
    def is_moving(self) -> bool:
        """Whether it belongs to another pool than the one that serves it."""
        return self.serving_pool != self.pool_key

    @property
    def is_stack(self) -> bool:
        """Whether it is a list of others, with no file of its own."""
        return self.spec.source.stack is not None

    @property
    def trigger_words(self) -> tuple[str, ...]:
        """Words that call it: those that the spec says, else those that were found."""
        found = self.status.resolved.trigger_words if self.status.resolved else None
        return self.spec.trigger_words or found or ()

    @property
    def thumbnail(self) -> str | None:
        """Address of a picture that the card of what is served shows."""
        return self.status.resolved.thumbnail if self.status.resolved else None

    @property
    def is_ready(self) -> bool:
        """Whether it is served: by the version that the status names, whatever was edited since.

        An operator that names no version speaks of the spec as it was at that generation alone.
        """
        ready = find(self.status.conditions, AdapterCondition.READY)
        is_of_now = ready is not None and ready.observed_generation == self.metadata.generation
        return ready is not None and ready.is_true and (self.status.serving is not None or is_of_now)
