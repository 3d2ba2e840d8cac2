"""What operator, gateway and runtime say to each other over HTTP.

Control port of a runtime pod (`Authorization: Bearer <control token>`, else 401):

| call | body | answer |
| --- | --- | --- |
| GET /v1/base | | 200 `BaseReport`; 503 `ErrorReply` (`NotReady`) until the base is loaded |
| PUT /v1/catalog | `Catalog` | 200 `PodState`, complete |
| PATCH /v1/catalog | `CatalogDelta` | 200 `PodState` with the adapters it names; 409 `ErrorReply` (`DigestMismatch`) |
| GET /v1/state?since=N&instance=I&wait=S | | 200 `PodState`, as soon as its version exceeds N, or after S <= 60 s |

Serving port (no token; NetworkPolicy keeps it to the gateway):

| call | answer |
| --- | --- |
| GET /healthz | 200 while the process works |
| GET /readyz | 200 when the base is warm and a catalog has arrived, and it is not stopping; else 503 |
| GET /metrics | Prometheus text |
| GET /v1/status | 200 `ServingStatus` |
| POST /v1/generate | 200 `GenerateReply` to a `GenerateRequest`; the first image itself where `Accept` names an image |

Where `Accept` names `text/event-stream` first, the images come as events: `step` (`StepReport`) after each step, then
`done` (`GenerateReply`) or `error` (`ErrorReply`).

Everything that is not 200 carries an `ErrorReply`.
"""

import hashlib
import json
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from lorapool_api.adapter import AdapterFormat
from lorapool_api.conditions import Reason
from lorapool_api.pool import BaseModelSpec, Device, Engine, SchedulerName, Serving, StubTimings

MAX_STACK = 8
MAX_PROMPT_CHARACTERS = 10_000
MAX_PICTURE_CHARACTERS = 16 * 1024 * 1024


class Wire(BaseModel):
    """A frozen message. Unknown fields are ignored: the other side may be newer."""

    model_config = ConfigDict(frozen=True, extra="ignore")


# ---- what a pod is told when it starts -------------------------------------------------------------------------


class Budgets(Wire):
    """Most memory and disk for the adapters of a pod, in bytes. None: as much as there is."""

    device_bytes: int = 4 * 1024**3
    host_bytes: int = 4 * 1024**3
    disk_bytes: int | None = None


class RuntimeConfig(Wire):
    """All that the process of a runtime pod is configured with; JSON in the environment variable `CONFIG_ENV`."""

    pool: str = Field(description="namespace/name of the pool; `local/<name>` outside Kubernetes.")
    model: BaseModelSpec
    engine: Engine = Engine.DIFFUSERS
    device: Device = Device.CUDA
    stub: StubTimings = StubTimings()
    serving: Serving = Serving()
    max_rank: int = 128
    max_file_bytes: int = 2 * 1024**3
    budgets: Budgets = Budgets()
    path_roots: tuple[str, ...] = Field(
        default=(), description="Folders below which `path` sources may lie: the mounts of the podTemplate."
    )
    url_hosts: tuple[str, ...] = Field(
        default=(),
        description="Hosts that `url` sources may name: `host` or `host:port`, `*.example.org` for all below.",
    )


# ---- the catalog -----------------------------------------------------------------------------------------------


class HubFile(Wire):
    """A file of a Hub repository at a commit."""

    kind: Literal["hub"] = "hub"
    repo: str
    revision: str = Field(description="Commit, 40 hexadecimal digits.")
    file: str


class UrlFile(Wire):
    """A file at an address."""

    kind: Literal["url"] = "url"
    url: str


class PathFile(Wire):
    """A file on a volume of the pod."""

    kind: Literal["path"] = "path"
    path: str


FileSource = Annotated[HubFile | UrlFile | PathFile, Field(discriminator="kind")]


class CatalogEntry(Wire):
    """One adapter that a pod may serve."""

    key: str = Field(description="namespace/name of the LoraAdapter.")
    generation: int = Field(default=0, description="metadata.generation that this entry was made from.")
    source: FileSource
    sha256: str | None = Field(default=None, description="Expected sha256; None: the pod reports what it finds.")
    size_bytes: int | None = None
    scale: float = 1.0
    pin: bool = Field(default=False, description="Bring it to the device at once, and keep it there.")


def catalog_digest(entries: Iterable[CatalogEntry]) -> str:
    """sha256 over the entries in order of their keys; the same set has the same digest, on both sides."""
    rows = sorted((e.model_dump(mode="json") for e in entries), key=lambda row: str(row["key"]))
    return hashlib.sha256(json.dumps(rows, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


class Catalog(Wire):
    """The whole set of adapters that a pod may serve."""

    digest: str
    entries: tuple[CatalogEntry, ...]

    @classmethod
    def of(cls, entries: Iterable[CatalogEntry]) -> "Catalog":
        rows = tuple(sorted(entries, key=lambda e: e.key))
        return cls(digest=catalog_digest(rows), entries=rows)


class CatalogDelta(Wire):
    """The change from the catalog with digest `base` to the one with digest `digest`."""

    base: str
    digest: str
    upsert: tuple[CatalogEntry, ...] = ()
    remove: tuple[str, ...] = ()


# ---- what a pod says of itself ---------------------------------------------------------------------------------


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


class BaseState(Wire):
    """The base model of a pod, in short."""

    phase: BasePhase
    reason: Reason | None = None
    message: str = ""
    revision: str | None = Field(default=None, description="Commit on the Hub, or a digest of the folder.")
    size_bytes: int | None = None
    cold_start_s: float | None = Field(default=None, description="From the process's start to warm.")
    stages_s: dict[str, float] = Field(default={}, description="Seconds of each part of it, in their order.")


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


# ---- a request for images --------------------------------------------------------------------------------------


class ImageFormat(StrEnum):
    """Encodings of an image."""

    PNG = "png"
    JPEG = "jpeg"
    WEBP = "webp"
    TIFF = "tiff"
    BMP = "bmp"

    @property
    def media_type(self) -> str:
        return f"image/{self.value}"


class AdapterUse(Wire):
    """An adapter of a stack."""

    key: str = Field(description="namespace/name.", max_length=320)
    scale: float | None = Field(default=None, ge=-10, le=10, description="None: the adapter's own.")
    sha256: str | None = Field(
        default=None,
        description="The file that must be used; a pod that has another answers 409 `AdapterNotReady`.",
    )


class GenerateRequest(Wire):
    """Images to make. What is None is taken from the pool's defaults; what exceeds its limits is refused."""

    prompt: str = Field(max_length=MAX_PROMPT_CHARACTERS)
    negative_prompt: str = Field(default="", max_length=MAX_PROMPT_CHARACTERS)
    adapters: tuple[AdapterUse, ...] = Field(default=(), max_length=MAX_STACK)
    width: int | None = None
    height: int | None = None
    steps: int | None = None
    guidance_scale: float | None = Field(default=None, ge=0, le=100)
    scheduler: SchedulerName | None = None
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    images: int = Field(default=1, ge=1)
    format: ImageFormat = ImageFormat.PNG
    image: str | None = Field(
        default=None,
        max_length=MAX_PICTURE_CHARACTERS,
        description="A picture to begin with (PNG, JPEG or WebP in base64): image-to-image. Without width and height "
        "the result has its size, rounded down to multiples of 8; else it is resized to them.",
    )
    mask: str | None = Field(
        default=None,
        max_length=MAX_PICTURE_CHARACTERS,
        description="Inpainting: what is white in it is painted anew, what is black is kept. Resized to the result.",
    )
    strength: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="How far the result may go from `image`; default 0.8, with a mask 1.",
    )
    previews: int = Field(
        default=0,
        ge=0,
        le=10,
        description="How many `step` events show roughly what the first image becomes, where the client takes events.",
    )


class StepReport(Wire):
    """A step that is done."""

    number: int = Field(description="From 1, over all images of the request.")
    of: int
    preview: str | None = Field(default=None, description="A JPEG in base64.")


class MadeImage(Wire):
    """One image of a reply."""

    data: str = Field(description="The encoded image in base64.")
    seed: int


class UsedAdapter(Wire):
    """An adapter that made the images."""

    key: str
    sha256: str
    scale: float


class Timings(Wire):
    """Where the time of a request went, in seconds."""

    queue_s: float = 0.0
    load_s: float = Field(default=0.0, description="Bringing adapters from their tier to the device.")
    switch_s: float = Field(default=0.0, description="Putting adapters in force.")
    inference_s: float = 0.0
    encode_s: float = 0.0


class GenerateReply(Wire):
    """Images, and what they were made with."""

    images: tuple[MadeImage, ...]
    format: ImageFormat
    width: int
    height: int
    base: str = Field(description="Label of the base model.")
    base_revision: str
    adapters: tuple[UsedAdapter, ...]
    pod: str
    timings: Timings
    warnings: tuple[str, ...] = ()


class ErrorCode(StrEnum):
    """Why a pod did not do what it was asked."""

    INVALID_REQUEST = "InvalidRequest"  # 400
    UNAUTHORIZED = "Unauthorized"  # 401
    UNKNOWN_ADAPTER = "UnknownAdapter"  # 404: not in this pod's catalog
    DIGEST_MISMATCH = "DigestMismatch"  # 409
    ADAPTER_NOT_READY = "AdapterNotReady"  # 409: another file than asked for, or still on its way
    TOO_LARGE = "TooLarge"  # 413
    ADAPTER_FAILED = "AdapterFailed"  # 422: `reason` says why
    TOO_MANY_PENDING = "TooManyPending"  # 429
    INTERNAL = "Internal"  # 500
    NOT_READY = "NotReady"  # 503: still loading, or stopping
    TIMEOUT = "Timeout"  # 504


class ErrorReply(Wire):
    """An error of a runtime pod."""

    code: ErrorCode
    message: str
    reason: Reason | None = None
    retryable: bool = Field(default=False, description="Whether another pod, or this one later, may succeed.")

    def dump(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude_none=True)
