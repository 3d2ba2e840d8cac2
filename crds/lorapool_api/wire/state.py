"""What a pod says of itself."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from lorapool_api.kinds.adapter import AnyFormat
from lorapool_api.kinds.conditions import AnyReason, Reason
from lorapool_api.kinds.serving import FoundDefaults
from lorapool_api.newer import ANY_WORD, OPEN, Word
from lorapool_api.wire.credentials import MOST_AWAITED
from lorapool_api.wire.message import Message, Wire

# What fits a status in the API server: numbers are int64 there.
_MAX_NUMBER: Final = 2**63 - 1
Number = Annotated[int, Field(ge=0, le=_MAX_NUMBER)]
# Thirty years: sums and multiples of what pods say stay finite, whatever one of them says.
MOST_S: Final = 1e9
Seconds = Annotated[float, Field(ge=0, le=MOST_S, allow_inf_nan=False)]
# Far more adapters than any pod holds: a status that comes in parts must not grow without bound.
MOST_TIERS: Final = 200_000
# Adapters whose use a pod tells of: more than one device serves in a minute.
MOST_BUSY: Final = 256
# Callers of a pod whose waits are told: as many as have requests in a queue of the usual length.
MOST_CALLERS: Final = 64
Label = Annotated[str, Field(max_length=256)]


class Tier(StrEnum):
    """Where an adapter's weights are, nearest first."""

    DEVICE = "device"
    HOST = "host"
    DISK = "disk"
    REMOTE = "remote"


AnyTier = Annotated[Tier | Word, OPEN, ANY_WORD]


class BasePhase(StrEnum):
    """How far a pod's base model is."""

    LOADING = "loading"
    WARM = "warm"
    FAILED = "failed"


class LimitShortfall(Wire):
    """A limit of the pool that the device has no memory for. Smaller requests are served."""

    pixels: Number = Field(description="The pool's `limits.pixels`, which did not fit.")
    fits: Number = Field(description="Most pixels of one picture that were found to fit; 0: none that were tried.")


class BaseState(Wire):
    """The base model of a pod, in short."""

    phase: Annotated[BasePhase | Word, OPEN, ANY_WORD]
    reason: AnyReason | None = None
    message: Message = ""
    revision: Label | None = Field(default=None, description="Commit on the Hub, or a digest of the folder.")
    size_bytes: Number | None = None
    cold_start_s: Seconds | None = Field(default=None, description="From the process's start to warm.")
    stages_s: dict[Label, Seconds] = Field(
        default={}, description="Seconds of each part of it, in their order.", max_length=64
    )
    shortfall: LimitShortfall | None = Field(default=None, description="What of the pool's limits does not fit.")


class BaseReport(Wire):
    """The modules of a warm base that an adapter can change."""

    revision: Label
    modules: dict[str, dict[str, tuple[int, ...]]] = Field(
        description=(
            "component (unet, transformer, text_encoder, text_encoder_2) -> module's dotted name -> shape of its "
            "weight: (out, in) of a Linear, (out, in, height, width) of a Conv2d. Empty (the stub engine): the base "
            "has no modules to judge by, every adapter fits."
        )
    )


class AdapterFileFacts(Wire):
    """What a pod found in an adapter's file."""

    sha256: Label
    size_bytes: Number
    rank: Number
    targets: Number
    format: AnyFormat
    networks: tuple[Word, ...] | None = Field(default=None, max_length=8)
    trigger_words: tuple[Label, ...] | None = Field(default=None, max_length=8)
    declared: FoundDefaults | None = Field(default=None, description="What its metadata says of how it is sampled.")
    merge_loss: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = Field(
        default=None, description="The share of its change that a merge into the base's type would lose, once measured."
    )


class AdapterPhase(StrEnum):
    """How far an adapter is in a pod.

    A pod says nothing of an adapter that is REMOTE: it has no file of it, and brings it when a request asks for it.
    """

    REMOTE = "remote"
    DOWNLOADING = "downloading"
    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"


class AdapterState(Wire):
    """An adapter in a pod. READY means: its file is on the pod's disk, checked, and fits the base."""

    phase: Annotated[AdapterPhase | Word, OPEN, ANY_WORD]
    tier: AnyTier = Tier.REMOTE
    generation: Number = Field(default=0, description="The generation of the catalog entry that this is about.")
    reason: AnyReason | None = Field(default=None, description="Set when failed.")
    message: Message = ""
    facts: AdapterFileFacts | None = None


def _or_failed(value: Any, read: ValidatorFunctionWrapHandler) -> AdapterState:
    """What a pod says of an adapter; what cannot be read concerns that adapter alone, not the pod's whole answer."""
    try:
        state: AdapterState = read(value)
    except ValidationError:
        number = value.get("generation") if isinstance(value, Mapping) else None
        generation = number if isinstance(number, int) and 0 <= number <= _MAX_NUMBER else 0
        message = "the pod says something about it that cannot be read"
        return AdapterState(
            phase=AdapterPhase.FAILED, generation=generation, reason=Reason.INTERNAL_ERROR, message=message
        )
    return state


class SleepState(Wire):
    """Whether a pod's base waits in host memory, so that the device's memory is free for others."""

    asleep: bool = False
    problem: Message = Field(
        default="", description="Why it does not sleep though it should, or could not wake when a request came."
    )


AWAKE: Final = SleepState()


class PodState(Wire):
    """The state of a pod for the operator, complete or what changed since a version."""

    instance: Label = Field(description="Random per process: another value means that the container was restarted.")
    version: Number = Field(description="Grows by each change of the state.")
    digest: Label | None = Field(description="Digest of the catalog that the pod holds; None: it has none.")
    assignment: Label | None = Field(
        default=None, description="Digest of the assignment that the pod follows; None: it has none."
    )
    base: BaseState
    busy_s: dict[str, Seconds] = Field(
        default={}, max_length=MOST_BUSY, description="Seconds of work with an adapter, by key, of those used last."
    )
    start_s: dict[Label, Seconds] = Field(
        default={},
        description="Seconds of each stage of the process's start until its first image, in their order, of those that "
        "are over.",
        max_length=64,
    )
    sleep: SleepState = Field(default=AWAKE, description="An earlier version never sleeps.")
    awaits_credentials: frozenset[str] = Field(
        default=frozenset(),
        description="Keys of adapters whose source it is this pod's turn to ask, and whose credentials it lacks.",
        max_length=MOST_AWAITED,
    )
    complete: bool = Field(description="Whether `adapters` names all, or only those that changed since `since`.")
    adapters: dict[str, Annotated[AdapterState, WrapValidator(_or_failed)]] = {}
    gone: tuple[str, ...] = Field(
        default=(),
        description="Unless `complete`: keys that have gone since `since`, for who asks for them (`gone=1`).",
    )


class ServingCosts(Wire):
    """What work takes in a pod, in seconds, as it has measured; of what it has not, it says nothing."""

    # By how adapters were applied.
    step_s: dict[Label, Seconds] = Field(default={}, max_length=8, description="A step of 2^20 pixels.")
    image_s: Seconds | None = Field(default=None, description="What an image takes besides its steps.")
    switch_s: dict[Label, Seconds] = Field(default={}, max_length=8, description="To a stack that is on the device.")
    load_s: dict[Label, Seconds] = Field(default={}, max_length=8, description="An adapter to the device, by its tier.")
    evict_s: Seconds | None = Field(
        default=None, description="What one more adapter on the device costs those that it drives out."
    )
    wake_s: Seconds | None = Field(default=None, description="The base, back to the device after it slept.")


class Backlog(Wire):
    """The work that a pod has, by its own costs."""

    work_s: Seconds = Field(description="Seconds until all that waits and runs is made.")
    active: tuple[Label, ...] = Field(default=(), description="Keys of the active stack.", max_length=64)
    newcomer_s: Seconds | None = Field(default=None, description="Until a request of a caller without any would begin.")
    callers_s: dict[Label, Seconds] = Field(default={}, max_length=MOST_CALLERS, description="One more of the others'.")


class ServingStatus(Wire):
    """The state of a pod for the gateway."""

    instance: Label
    digest: Label | None
    ready: bool
    pending: Number = Field(description="Requests that wait.")
    running: Number
    max_pending: Number
    asleep: bool = Field(default=False, description="It takes requests; the first one waits until the base is back.")
    version: Number = Field(default=0, description="Grows by each change; for `since` of the next question.")
    complete: bool = Field(default=True, description="Whether `tiers` names all, or only what changed since `since`.")
    reads_pictures: bool = Field(
        default=False,
        description="It reads pictures of a request beside it, as they are (`lorapool_api.wire.gateways.pictures`). "
        "An earlier version reads them in base64 alone.",
    )
    reads_weightings: bool = Field(default=False, description="Scales that are no number, which earlier ones refuse.")
    more: bool = Field(default=False, description="More of the same change follows, not complete.")
    costs: ServingCosts | None = Field(default=None, description="None: not told again, or an earlier version.")
    backlog: Backlog | None = Field(default=None, description="None: nothing measured yet, or an earlier version.")
    tiers: dict[str, AnyTier] = Field(default={}, description="Adapters that the pod can serve, by key.")
    gone: tuple[str, ...] = Field(
        default=(), description="Unless `complete`: keys of adapters that the pod cannot serve any more."
    )

    def after(self, before: "ServingStatus | None") -> "ServingStatus":
        """All that the pod says, where this is what changed since `before`.

        Raises:
            ValueError: it is about something else than `before`, or names more adapters than a pod has.
        """
        if self.complete:
            return self
        if before is None or before.instance != self.instance:
            raise ValueError("the change of a status that was never told")
        costs = before.costs if self.costs is None else self.costs
        gone = set(self.gone)
        changed = {**before.tiers, **self.tiers} if self.tiers else before.tiers
        tiers = {key: tier for key, tier in changed.items() if key not in gone} if gone else changed
        if len(tiers) > MOST_TIERS:
            raise ValueError(f"{len(tiers)} adapters in one pod")
        return self.model_copy(update={"complete": True, "tiers": tiers, "gone": (), "costs": costs})
