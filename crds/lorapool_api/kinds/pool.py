"""`BaseModelPool`: one base model, warm in a set of pods, and the adapters that may join it."""

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from lorapool_api.kinds.base_model import BaseModelSpec
from lorapool_api.kinds.conditions import Conditions
from lorapool_api.kinds.metadata import LabelSelector, Metadata
from lorapool_api.kinds.pods.scaling import MOST_REPLICAS, Scaling
from lorapool_api.kinds.quantities import ByteQuantity, Copies
from lorapool_api.kinds.runtime import RuntimeSpec
from lorapool_api.kinds.serving import Serving
from lorapool_api.kinds.status.base import ModelStatus
from lorapool_api.kinds.status.cold_start import ColdStart
from lorapool_api.kinds.status.names import MOST_KEPT_NAMES, HeldNames, KeptName
from lorapool_api.kinds.stores.objects import ObjectPrefix
from lorapool_api.schema import ApiModel, Rule, rules

VolumeName = Annotated[str, Field(description="Name of a volume.", min_length=1, max_length=63)]


class NamespacesFrom(StrEnum):
    """Which namespaces' adapters may join."""

    SAME = "Same"
    ALL = "All"
    SELECTOR = "Selector"


class AdapterNamespaces(ApiModel):
    """The namespaces whose LoraAdapters may join the pool."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "(self.from == 'Selector') == has(self.selector)",
                "selector goes with from: Selector, and only with it",
            )
        )
    )

    from_: NamespacesFrom = Field(
        default=NamespacesFrom.SAME,
        alias="from",
        description="Same namespace, All, or those that a Selector picks.",
    )
    selector: LabelSelector | None = Field(default=None, description="Labels of the namespaces.")


class Prefetch(StrEnum):
    """How near the pods that hold an adapter bring it before anybody asks."""

    NONE = "None"
    DISK = "Disk"
    HOST = "Host"


class Undeclared(StrEnum):
    """What becomes of requests for repositories of the Hub that no LoraAdapter declares."""

    DENY = "Deny"
    HUB = "Hub"


class NamespaceQuota(ApiModel):
    """The most that the adapters of one other namespace may take. What is left out is not bounded."""

    count: int | None = Field(default=None, description="Adapters that name the pool.", ge=0, le=1_000_000)
    bytes: ByteQuantity | None = Field(default=None, description="The sizes of their files together.")
    pins: int | None = Field(default=None, description="Adapters with `pin`.", ge=0, le=1_000_000)


class AdaptersSpec(ApiModel):
    """Which adapters the pool takes, and where they are held."""

    namespaces: AdapterNamespaces = Field(
        default=AdapterNamespaces(), description="The namespaces whose LoraAdapters may join."
    )
    undeclared: Undeclared = Field(
        default=Undeclared.DENY,
        description="Hub: a request may name any public repository of the Hub, `owner/name`, that is a LoRA and whose "
        "card names this base model in base_model; a pod brings it on demand. Deny: only what a LoraAdapter declares.",
    )
    per_namespace: NamespaceQuota | None = Field(
        default=None,
        description="What the adapters of each namespace other than the pool's own may take. The oldest keep their "
        "place; what goes beyond is not accepted (QuotaExceeded).",
    )
    path_volumes: tuple[VolumeName, ...] = Field(
        default=(),
        description="Volumes of the podTemplate that hold adapter files: `path` sources lie below their mounts in the "
        "runtime container, and nowhere else. Never a Secret, a projected volume or one of the downward API.",
        max_length=16,
    )
    identity_prefixes: tuple[ObjectPrefix, ...] = Field(
        default=(),
        description="What adapters may read from object stores with the identity of the pool's pods: "
        "`s3://bucket/prefix`, `gs://bucket/prefix`, `az://account/container/prefix`, or below another endpoint "
        "`https://host/bucket/prefix`. Whoever may make adapters of the pool can read all LoRA files there.",
        max_length=32,
    )
    prefetch: Prefetch = Field(
        default=Prefetch.DISK,
        description="How near its copies bring an adapter before anybody asks: to their Disk, or to their memory "
        "(Host) as far as that has room. None: a pod brings it on the first request; where only pods can see the file, "
        "one reads it all the same.",
    )
    copies: Copies = Field(
        default=2,
        description="Pods that bring each adapter ahead of requests; All: every pod. Every pod serves every adapter: "
        "what it does not hold it brings on a request, from a pod that does.",
    )
    max_rank: int = Field(default=128, description="Highest rank of an adapter.", ge=1, le=1024)
    max_file_size: ByteQuantity = Field(default="2Gi", description="Largest file of an adapter.")
    device_budget: ByteQuantity | None = Field(
        default=None,
        description="Device memory for adapters in each pod, merged weights included. The least recently used leave "
        "first, never those in use or pinned. Default: what the base and a request of `serving.defaults` leave free, "
        "measured when the pod starts; on a CPU 4Gi.",
    )
    host_budget: ByteQuantity = Field(
        default="4Gi",
        description="Memory of each pod for adapters that are not on the device; the least recently used leave first.",
    )
    disk_budget: ByteQuantity | None = Field(
        default=None,
        description="Room for adapter files in each pod's cache volume; the least recently used leave first and are "
        "fetched again. Default: as many as the volume takes.",
    )


class PoolSpec(ApiModel):
    """The wanted state of a pool."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "self.serving.mode != 'Merged' || (!has(self.model.quantization) && self.model.offload == 'None')",
                "a base that is quantized or offloaded is not merged into: serving.mode is Auto or Unmerged",
            ),
            Rule(
                "self.model.offload == 'None' || self.serving.compile == 'Off'", "offload goes with compile: Off only"
            ),
            Rule("self.model.offload == 'None' || !has(self.serving.stepCache)", "offload goes without stepCache"),
            Rule(
                "!has(self.scaling) || !has(self.scaling.sleep) || !self.scaling.sleep || "
                "(self.model.offload == 'None' && self.serving.compile == 'Off')",
                "scaling.sleep goes with compile: Off and offload: None only",
            ),
        )
    )

    model: BaseModelSpec = Field(description="The base model that every pod holds.")
    runtime: RuntimeSpec = Field(default=RuntimeSpec(), description="How the pods run.")
    adapters: AdaptersSpec = Field(default=AdaptersSpec(), description="Which adapters the pool takes.")
    replicas: int = Field(
        default=1,
        description="Pods, each with a whole base model. Means nothing where `scaling` is set; without it, whoever "
        "scales the pool (kubectl, a HorizontalPodAutoscaler, KEDA) writes it.",
        ge=0,
        le=MOST_REPLICAS,
    )
    scaling: Scaling | None = Field(
        default=None,
        description="The operator decides how many pods there are, by the requests that the gateways have. Absent: "
        "`replicas` says it.",
    )
    serving: Serving = Field(default=Serving(), description="How requests are served.")

    @property
    def most_replicas(self) -> int:
        """As many pods there may come to be without an edit."""
        return self.replicas if self.scaling is None else self.scaling.max_replicas


class AdapterCounts(ApiModel):
    """How many adapters name the pool, and how they fare."""

    total: int = Field(default=0, description="Adapters that name this pool.")
    ready: int = Field(default=0, description="Adapters that are Ready.")
    failed: int = Field(default=0, description="Adapters that somebody has to look at.")
    copies: int = Field(default=0, description="Copies of all of them that pods bring ahead of requests.")
    unplaced: int = Field(
        default=0, description="Copies that no pod's disk has room for, by the pool's adapters.diskBudget."
    )


class PoolStatus(ApiModel):
    """The observed state of a pool."""

    observed_generation: int | None = Field(default=None, description="The generation that this status is about.")
    replicas: int = Field(default=0, description="Pods that exist.")
    desired_replicas: int | None = Field(
        default=None,
        description="Pods that there shall be: spec.replicas, or what the operator decides by spec.scaling.",
        exclude_if=lambda replicas: replicas is None,
    )
    ready_replicas: int = Field(default=0, description="Pods that take requests.")
    sleeping_replicas: int | None = Field(
        default=None,
        description="Of those, pods whose base waits in host memory until a request comes. With scaling.sleep only.",
        exclude_if=lambda replicas: replicas is None,
    )
    selector: str | None = Field(default=None, description="Label selector of the pods, for the scale subresource.")
    adapters: AdapterCounts = Field(default=AdapterCounts(), description="Adapters of the pool.")
    model: ModelStatus | None = Field(default=None, description="What the base model was found to be.")
    last_cold_start_seconds: float | None = Field(
        default=None, description="How long the newest pod took from its process's start to a warm base."
    )
    last_cold_start: ColdStart | None = Field(
        default=None,
        description="The same stage by stage, from the pod's creation to its first image.",
        exclude_if=lambda start: start is None,
    )
    url: str | None = Field(default=None, description="Address of the pool's Service in the cluster.")
    names: HeldNames = ()
    kept_names: tuple[KeptName, ...] = Field(
        default=(),
        description="Names of adapters that went, kept for their namespaces for a while.",
        max_length=MOST_KEPT_NAMES,
        exclude_if=lambda names: not names,
    )
    conditions: Conditions = Field(
        default=(), description="Ready, Available, Progressing, Degraded; Paused where it is."
    )


class Pool(ApiModel):
    """A `BaseModelPool` as it was read."""

    metadata: Metadata
    spec: PoolSpec
    status: PoolStatus = PoolStatus()

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return self.metadata.key
