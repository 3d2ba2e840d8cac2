"""`BaseModelPool`: one base model, warm in a set of pods, and the adapters that may join it."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from lorapool_api.conditions import Condition
from lorapool_api.metadata import LabelSelector, Metadata
from lorapool_api.schema import ApiModel, Rule, rules
from lorapool_api.sources import ModelSource

_NUMBER = r"(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))"
QUANTITY_PATTERN = rf"^(\+|-)?{_NUMBER}(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?{_NUMBER}))?$"
IntOrQuantity = Annotated[
    str | int,
    Field(
        json_schema_extra={
            "x-kubernetes-int-or-string": True,
            "pattern": QUANTITY_PATTERN,
        }
    ),
]
ByteQuantity = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?([KMGT]i?)?$", max_length=32)]
# A name that a request may use: a Hub id, or a word.
ModelId = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9._-]+)?$",
        min_length=1,
        max_length=193,
    ),
]


class Dtype(StrEnum):
    """Types that the base's weights may have on the device."""

    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"
    FLOAT32 = "float32"


class Engine(StrEnum):
    """What makes the images."""

    DIFFUSERS = "diffusers"
    STUB = "stub"


class Device(StrEnum):
    """Where the base model lives."""

    CUDA = "cuda"
    CPU = "cpu"


class ApplyMode(StrEnum):
    """How adapters are applied to the base."""

    AUTO = "Auto"
    UNMERGED = "Unmerged"
    MERGED = "Merged"


class SchedulerName(StrEnum):
    """Samplers that a request or a pool may name."""

    EULER_A = "euler-a"
    EULER = "euler"
    DDIM = "ddim"
    DPMPP_2M = "dpmpp-2m"
    DPMPP_2M_KARRAS = "dpmpp-2m-karras"
    HEUN = "heun"
    LCM = "lcm"
    PNDM = "pndm"
    UNIPC = "unipc"


class BaseModelSpec(ApiModel):
    """The base model that every pod of the pool holds."""

    source: ModelSource = Field(description="Where the diffusers pipeline comes from.")
    vae: ModelSource | None = Field(
        default=None,
        description=(
            "Another VAE than the pipeline's own. A float16 SDXL from the Hub gets madebyollin/sdxl-vae-fp16-fix "
            "when nothing is named, because its own VAE overflows in float16."
        ),
    )
    dtype: Dtype = Field(default=Dtype.FLOAT16, description="Type of the weights on the device.")
    aliases: tuple[ModelId, ...] = Field(
        default=(),
        description="Names that a request may use for the bare base, besides the pool's own.",
        max_length=16,
    )


class ResourceRequirements(ApiModel):
    """Compute resources of the runtime container."""

    limits: dict[str, IntOrQuantity] | None = Field(
        default=None, description="Upper bounds, for example nvidia.com/gpu: 1."
    )
    requests: dict[str, IntOrQuantity] | None = Field(
        default=None, description="What the scheduler reserves; defaults to the limits."
    )


class StubTimings(ApiModel):
    """How long the stub engine pretends to work."""

    load_milliseconds: int = Field(default=0, description="Loading the base.", ge=0, le=600_000)
    switch_milliseconds: int = Field(default=0, description="Switching to another adapter.", ge=0, le=600_000)
    step_milliseconds: int = Field(default=0, description="One step of one image.", ge=0, le=600_000)


class CacheClaim(ApiModel):
    """A PersistentVolumeClaim that the pods share."""

    claim_name: str = Field(description="Name of the claim.", min_length=1, max_length=253)


class CacheHostPath(ApiModel):
    """A folder of the node that the pods on it share."""

    path: str = Field(description="Folder on the node.", pattern=r"^/.+", max_length=1024)


class CacheEmptyDir(ApiModel):
    """A folder that lives as long as the pod."""

    size_limit: ByteQuantity | None = Field(default=None, description="Most that it may hold, for example 40Gi.")


class Cache(ApiModel):
    """The volume for downloaded models and adapters: one of the fields; a pod's own folder if none is set."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "(has(self.emptyDir) ? 1 : 0) + (has(self.claim) ? 1 : 0) + (has(self.hostPath) ? 1 : 0) <= 1",
                "at most one of emptyDir, claim or hostPath may be set",
            )
        )
    )

    empty_dir: CacheEmptyDir | None = Field(
        default=None, description="A folder that lives as long as the pod (default)."
    )
    claim: CacheClaim | None = Field(default=None, description="A PersistentVolumeClaim.")
    host_path: CacheHostPath | None = Field(default=None, description="A folder of the node.")


class RuntimeSpec(ApiModel):
    """How the pods of the pool run."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule("!has(self.stub) || self.engine == 'stub'", "stub timings need engine: stub"),
        )
    )

    engine: Engine = Field(
        default=Engine.DIFFUSERS,
        description="diffusers, or stub: no torch, deterministic images, simulated timings.",
    )
    stub: StubTimings | None = Field(default=None, description="Timings of the stub engine.")
    image: str | None = Field(
        default=None,
        description="Image of the runtime container; default from the installation.",
        min_length=1,
        max_length=512,
    )
    device: Device = Field(default=Device.CUDA, description="cuda or cpu.")
    resources: ResourceRequirements | None = Field(default=None, description="Compute resources of the container.")
    pod_template: dict[str, Any] | None = Field(
        default=None,
        description=(
            "A PodTemplateSpec that is merged over the one that the operator builds (strategic merge: containers, "
            "volumes, mounts and env by name): nodeSelector, tolerations, volumes, env and the like. The runtime's "
            "container is called runtime."
        ),
        json_schema_extra={"x-kubernetes-preserve-unknown-fields": True},
    )
    cache: Cache = Field(default=Cache(), description="Volume for downloaded models and adapters.")


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


class AdaptersSpec(ApiModel):
    """Which adapters the pool takes."""

    namespaces: AdapterNamespaces = Field(
        default=AdapterNamespaces(), description="The namespaces whose LoraAdapters may join."
    )
    max_rank: int = Field(default=128, description="Highest rank of an adapter.", ge=1, le=1024)
    max_file_size: ByteQuantity = Field(default="2Gi", description="Largest file of an adapter.")
    device_budget: ByteQuantity = Field(
        default="4Gi",
        description="Device memory for adapters in each pod. The least recently used ones leave first, never those in "
        "use or pinned.",
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


class ServingDefaults(ApiModel):
    """What a request gets that does not say."""

    steps: int = Field(default=25, description="Inference steps.", ge=1, le=1000)
    guidance_scale: float = Field(default=5.0, description="Classifier-free guidance.", ge=0, le=100)
    width: int = Field(default=1024, description="Width in pixels.", ge=8, le=8192, multiple_of=8)
    height: int = Field(default=1024, description="Height in pixels.", ge=8, le=8192, multiple_of=8)
    scheduler: SchedulerName = Field(default=SchedulerName.EULER_A, description="Sampler.")


class ServingLimits(ApiModel):
    """What a request may ask for."""

    steps: int = Field(default=100, description="Most inference steps.", ge=1, le=1000)
    pixels: int = Field(default=2_359_296, description="Most pixels of one image (width times height).", ge=64)
    images: int = Field(default=4, description="Most images of one request.", ge=1, le=64)


class Serving(ApiModel):
    """How requests are served."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule("self.defaults.steps <= self.limits.steps", "defaults.steps must not exceed limits.steps"),
            Rule(
                "self.defaults.width * self.defaults.height <= self.limits.pixels",
                "defaults.width times defaults.height must not exceed limits.pixels",
            ),
        )
    )

    max_pending: int = Field(
        default=64,
        description="Requests that may wait in one pod; more are refused with 429.",
        ge=1,
        le=10_000,
    )
    max_batch: int = Field(
        default=1,
        description="Most pictures in one forward, of requests with the same size, steps, guidance and sampler, "
        "whatever their adapters. A pod measures whether that is faster, else it makes one after the other. With 1 "
        "the same request always gives the same bytes; in a batch kernels may round differently.",
        ge=1,
        le=32,
    )
    defaults: ServingDefaults = Field(default=ServingDefaults(), description="What a request gets that does not say.")
    limits: ServingLimits = Field(default=ServingLimits(), description="What a request may ask for.")
    mode: ApplyMode = Field(
        default=ApplyMode.AUTO,
        description="How adapters are applied: Unmerged adds each low-rank pair to its module's output at every step, "
        "Merged computes the changed weights once per switch into memory of their own, Auto chooses for each run by "
        "what a pod measured on its device. The two differ in rounding only. LoHa and LoKr are always merged.",
    )
    request_timeout_seconds: int = Field(
        default=300,
        description="Longest time from request to image, waiting for a pod included.",
        ge=1,
        le=3600,
    )


class PoolSpec(ApiModel):
    """The wanted state of a pool."""

    model: BaseModelSpec = Field(description="The base model that every pod holds.")
    runtime: RuntimeSpec = Field(default=RuntimeSpec(), description="How the pods run.")
    adapters: AdaptersSpec = Field(default=AdaptersSpec(), description="Which adapters the pool takes.")
    replicas: int = Field(default=1, description="Pods, each with a whole base model.", ge=0, le=1000)
    serving: Serving = Field(default=Serving(), description="How requests are served.")


class AdapterCounts(ApiModel):
    """How many adapters name the pool, and how they fare."""

    total: int = Field(default=0, description="Adapters that name this pool.")
    ready: int = Field(default=0, description="Adapters that are Ready.")
    failed: int = Field(default=0, description="Adapters that somebody has to look at.")


class ModelStatus(ApiModel):
    """What the pods found the base model to be."""

    revision: str | None = Field(default=None, description="Commit on the Hub, or digest of a folder.")
    size_bytes: int | None = Field(default=None, description="Size of the weights.")


class PoolStatus(ApiModel):
    """The observed state of a pool."""

    observed_generation: int | None = Field(default=None, description="The generation that this status is about.")
    replicas: int = Field(default=0, description="Pods that exist.")
    ready_replicas: int = Field(default=0, description="Pods that take requests.")
    selector: str | None = Field(default=None, description="Label selector of the pods, for the scale subresource.")
    adapters: AdapterCounts = Field(default=AdapterCounts(), description="Adapters of the pool.")
    model: ModelStatus | None = Field(default=None, description="What the pods found the base model to be.")
    last_cold_start_seconds: float | None = Field(
        default=None, description="How long the newest pod took from its process's start to a warm base."
    )
    url: str | None = Field(default=None, description="Address of the pool's Service in the cluster.")
    conditions: tuple[Condition, ...] = Field(
        default=(),
        description="Ready, Available, Progressing and Degraded.",
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
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
