"""What a pod says of itself."""

from enum import StrEnum

from pydantic import Field

from lorapool_api.adapter import AdapterFormat
from lorapool_api.conditions import Reason
from lorapool_api.wire.message import Wire


class Tier(StrEnum):
    """Where an adapter's weights are, nearest first."""

    DEVICE = "device"
    HOST = "host"
    DISK = "disk"
    REMOTE = "remote"

    @property
    def distance(self) -> int:
        """0 for the device, growing with the way to it."""
        return list(Tier).index(self)


class BasePhase(StrEnum):
    """How far a pod's base model is."""

    LOADING = "loading"
    WARM = "warm"
    FAILED = "failed"


class LimitShortfall(Wire):
    """A limit of the pool that the device has no memory for. Smaller requests are served."""

    pixels: int = Field(description="The pool's `limits.pixels`, which did not fit.")
    fits: int = Field(description="Most pixels of one picture that were found to fit; 0: none were tried and fitted.")


class BaseState(Wire):
    """The base model of a pod, in short."""

    phase: BasePhase
    reason: Reason | None = None
    message: str = ""
    revision: str | None = Field(default=None, description="Commit on the Hub, or a digest of the folder.")
    size_bytes: int | None = None
    cold_start_s: float | None = Field(default=None, description="From the process's start to warm.")
    stages_s: dict[str, float] = Field(default={}, description="Seconds of each part of it, in their order.")
    shortfall: LimitShortfall | None = Field(default=None, description="What of the pool's limits does not fit.")


class BaseReport(Wire):
    """The modules of a warm base that an adapter can change."""

    revision: str
    modules: dict[str, dict[str, tuple[int, ...]]] = Field(
        description=(
            "component (unet, transformer, text_encoder, text_encoder_2) -> module's dotted name -> shape of its "
            "weight: (out, in) of a Linear, (out, in, height, width) of a Conv2d. Empty (the stub engine): the base "
            "has no modules to judge by, every adapter fits."
        )
    )


class AdapterFileFacts(Wire):
    """What a pod found in an adapter's file."""

    sha256: str
    size_bytes: int
    rank: int
    targets: int
    format: AdapterFormat


class AdapterPhase(StrEnum):
    """How far an adapter is in a pod."""

    DOWNLOADING = "downloading"
    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"


class AdapterState(Wire):
    """An adapter in a pod. READY means: its file is on the pod's disk, checked, and fits the base."""

    phase: AdapterPhase
    tier: Tier = Tier.REMOTE
    generation: int = Field(default=0, description="The generation of the catalog entry that this is about.")
    reason: Reason | None = Field(default=None, description="Set when failed.")
    message: str = ""
    facts: AdapterFileFacts | None = None


class PodState(Wire):
    """The state of a pod for the operator, complete or what changed since a version."""

    instance: str = Field(description="Random per process: another value means that the container was restarted.")
    version: int = Field(description="Grows by each change of the state.")
    digest: str | None = Field(description="Digest of the catalog that the pod holds; None: it has none.")
    base: BaseState
    complete: bool = Field(description="Whether `adapters` names all, or only those that changed since `since`.")
    adapters: dict[str, AdapterState] = {}


class ServingStatus(Wire):
    """The state of a pod for the gateway."""

    instance: str
    digest: str | None
    ready: bool
    pending: int = Field(description="Requests that wait.")
    running: int
    max_pending: int
    tiers: dict[str, Tier] = Field(default={}, description="Adapters that the pod can serve, by key.")
