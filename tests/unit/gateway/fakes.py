"""A gateway without a cluster: objects put into its directory by hand, pods that are functions."""

import asyncio
import base64
import hashlib
import io
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from PIL import Image as Picture
from tests import make

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.pool import Pool
from lorapool_api.names import POOL_LABEL, runtime_name
from lorapool_api.wire.reply import ErrorCode, ErrorReply, GenerateReply, MadeImage, StepReport, Timings, UsedAdapter
from lorapool_api.wire.request import AdapterUse, GenerateRequest, ImageFormat
from lorapool_api.wire.state import ServingStatus, Tier
from lorapool_common.observe.tracing import NO_TRACING, Tracing
from lorapool_gateway.cluster.directory import Directory, ObjectKind
from lorapool_gateway.cluster.snapshot import RuntimePod, Snapshot
from lorapool_gateway.held import Bodies
from lorapool_gateway.http.app import inference_app
from lorapool_gateway.http.gate import Gate
from lorapool_gateway.http.keys import ApiKeys
from lorapool_gateway.kept.kept import Kept
from lorapool_gateway.kept.peers import OtherGateways
from lorapool_gateway.metrics import Metrics
from lorapool_gateway.pods.errors import PodError, RequestRefused, Unreachable
from lorapool_gateway.pods.events import OnStep
from lorapool_gateway.pods.images import Image
from lorapool_gateway.pods.load import Loads
from lorapool_gateway.pods.payload import payload
from lorapool_gateway.provenance.reader import PictureReader
from lorapool_gateway.serve.demand import DemandReporter, RequestCounts
from lorapool_gateway.serve.hold import Hold
from lorapool_gateway.serve.image_service import ImageService
from lorapool_gateway.serve.proxy import Proxy
from lorapool_gateway.serve.signing import PictureSigning
from lorapool_gateway.spool.body import Spool
from lorapool_gateway.spool.disk import Disk
from lorapool_gateway.spool.pictures import StoredPictures

SHA = "ab" * 32
PREVIEW = base64.b64encode(b"a small picture").decode()
STATUSES = {
    ErrorCode.INVALID_REQUEST: 400,
    ErrorCode.UNKNOWN_ADAPTER: 404,
    ErrorCode.ADAPTER_NOT_READY: 409,
    ErrorCode.ADAPTER_FAILED: 422,
    ErrorCode.CONTENT_REFUSED: 422,
    ErrorCode.NOT_CHECKED: 503,
    ErrorCode.TOO_MANY_PENDING: 429,
    ErrorCode.INTERNAL: 500,
    ErrorCode.NOT_READY: 503,
    ErrorCode.DEADLINE_TOO_SOON: 503,
    ErrorCode.TIMEOUT: 504,
    ErrorCode.OUT_OF_MEMORY: 507,
}
Trouble = ErrorReply | PodError


def encoded_image(seed: int, format_: ImageFormat) -> bytes:
    """A real image whose colour comes from the seed."""
    buffer = io.BytesIO()
    Picture.new("RGB", (8, 8), tuple(hashlib.sha256(str(seed).encode()).digest()[:3])).save(buffer, format_.value)
    return buffer.getvalue()


@dataclass
class FakePod:
    """A runtime pod: answers with images, or with the troubles that a test has lined up for it."""

    name: str
    pool: str = "default/shapes"
    ready: bool = True
    pending: int = 0
    tiers: dict[str, Tier] = field(default_factory=dict)
    troubles: deque[Trouble] = field(default_factory=deque)
    received: list[GenerateRequest] = field(default_factory=list)
    warnings: tuple[str, ...] = ()
    base_revision: str = "r1"
    recipe: str | None = None
    steps: int = 4
    reads_weightings: bool = True
    hold: asyncio.Event | None = None
    was_cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    got_one: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def pod(self) -> RuntimePod:
        return RuntimePod(f"uid-{self.name}", self.name, self.pool, self.ip)

    @property
    def ip(self) -> str:
        """An address of its own, unless its name is one."""
        if self.name[0].isdigit():
            return self.name
        return f"10.{'.'.join(str(byte) for byte in hashlib.sha256(self.name.encode()).digest()[:3])}"

    @property
    def status(self) -> ServingStatus:
        return ServingStatus(
            instance="i",
            digest="d",
            ready=self.ready,
            pending=self.pending,
            running=0,
            max_pending=4,
            tiers=self.tiers,
            reads_weightings=self.reads_weightings,
        )

    @property
    def manifest(self) -> dict[str, Any]:
        namespace, _, pool = self.pool.partition("/")
        name = runtime_name(pool)
        owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"{name}-59d8", "uid": "r", "controller": True}
        labels = {POOL_LABEL: pool, "pod-template-hash": "59d8"}
        metadata = {"name": self.name, "namespace": namespace, "uid": f"uid-{self.name}", "labels": labels}
        status = {"phase": "Running", "podIP": self.ip}
        return {"metadata": metadata | {"ownerReferences": [owner]}, "status": status}

    async def generate(self, asked: GenerateRequest, on_step: OnStep | None = None) -> GenerateReply:
        """The images, or the next trouble, after `steps` steps. Raises: PodError."""
        self.received.append(asked)
        self.got_one.set()
        for number in range(1, self.steps + 1):
            preview = PREVIEW if number <= asked.previews else None
            if on_step is not None:
                on_step(StepReport(number=number, of=self.steps, preview=preview))
        if self.hold:
            try:
                await self.hold.wait()
            except asyncio.CancelledError:
                self.was_cancelled.set()
                raise
        if self.troubles:
            trouble = self.troubles.popleft()
            if isinstance(trouble, ErrorReply):
                raise RequestRefused(STATUSES[ErrorCode(trouble.code)], trouble)
            raise trouble
        return self._reply(asked)

    def _reply(self, asked: GenerateRequest) -> GenerateReply:
        seeds = [(asked.seed if asked.seed is not None else 7) + i for i in range(asked.images)]
        return GenerateReply(
            images=tuple(
                MadeImage(data=base64.b64encode(encoded_image(s, asked.format)).decode(), seed=s, recipe=self.recipe)
                for s in seeds
            ),
            format=asked.format,
            width=asked.width or 64,
            height=asked.height or 64,
            base="shapes-xl",
            base_revision=self.base_revision,
            warnings=self.warnings,
            adapters=tuple(_used(use) for use in asked.adapters),
            pod=self.name,
            timings=Timings(queue_s=0.1, load_s=0.02, switch_s=0.03, inference_s=1.5, encode_s=0.05),
        )


def _used(use: AdapterUse) -> UsedAdapter:
    return UsedAdapter(key=use.key, sha256=use.sha256 or SHA, scale=1.0 if use.scale is None else use.scale)


class Network:
    """Brings a request to the pod that its address names, its pictures in it; nobody is at any other address.

    Attributes:
        passed: the requests as the gateway holds them.
    """

    def __init__(self, pictures: StoredPictures | None = None) -> None:
        self.pods: dict[str, FakePod] = {}
        self.pictures = pictures or StoredPictures()
        self.passed: list[GenerateRequest] = []

    async def follow(
        self, pod: RuntimePod, known: ServingStatus | None = None
    ) -> AsyncGenerator[ServingStatus | None, None]:
        yield self._at(pod).status

    async def generate(
        self,
        pod: RuntimePod,
        request: GenerateRequest,
        max_bytes: int,
        on_step: OnStep | None = None,
        *,
        reads_pictures: bool = False,
        passes_on: bool = False,
    ) -> tuple[GenerateReply, tuple[Image, ...]]:
        self.passed.append(request)
        sent = payload(request, self.pictures, reads_pictures=False)
        data = sent.data()
        whole = data if isinstance(data, bytes) else b"".join([piece async for piece in data])
        reply = await self._at(pod).generate(GenerateRequest.model_validate_json(whole), on_step)
        return reply, tuple(Image(made.data.encode(), is_base64=True) for made in reply.images)

    def _at(self, pod: RuntimePod) -> FakePod:
        if pod.ip not in self.pods:
            raise Unreachable("nobody is there")
        return self.pods[pod.ip]


class World:
    """A gateway and all that it knows."""

    def __init__(
        self,
        *,
        keys: Path | None = None,
        adapter_hold_s: float = 5.0,
        sync_s: float = 10.0,
        max_body_bytes: int = 1 << 16,
        max_held_bytes: int = 1 << 30,
        origins: Sequence[str] = ("*",),
        directory: Directory | None = None,
        tracing: Tracing = NO_TRACING,
        disk: Disk | None = None,
        kept: Kept | None = None,
        peers: OtherGateways | None = None,
        signing: PictureSigning | None = None,
        reader: PictureReader | None = None,
        public_url: str | None = None,
    ) -> None:
        spool = Spool(Bodies(max_held_bytes), disk)
        self.network = Network(spool.pictures)
        self.directory = directory or Directory()
        self.loads = Loads(self.directory.changes)
        self.metrics = Metrics()
        self.synced = asyncio.Event()
        self.synced.set()
        counts = RequestCounts(self.metrics)
        self.demand = DemandReporter(self.directory, self.loads, counts)
        hold = Hold(self.directory, self.loads, counts, adapter_hold_s, first_pause_s=0.0)
        self.proxy = Proxy(hold, self.loads, self.network, self.metrics, counts, tracing=tracing, signing=signing)
        service = ImageService(self.directory, self.synced, self.proxy, self.metrics, sync_s)
        gate = Gate(service, ApiKeys(keys), self.metrics, max_body_bytes, spool, tracing)
        self.app = inference_app(gate, origins, kept, peers, reader, public_url)

    def pool(self, name: str = "shapes", **spec: Any) -> None:
        self.directory.put(ObjectKind.POOL, read(make.pool(name, **spec)))

    def adapter(self, name: str = "pixel", *, ready: Mapping[str, Any] | None = None, **spec: Any) -> Adapter:
        """An adapter that is Ready, unless `ready` says otherwise of that condition."""
        made = with_ready(make.adapter(name, **spec), ready)
        self.directory.put(ObjectKind.ADAPTER, read(made))
        return made

    def pod(self, name: str = "pod-a", **known: Any) -> FakePod:
        """A pod that the gateway has heard of."""
        fake = FakePod(name, **known)
        self.network.pods[fake.ip] = fake
        self.directory.put(ObjectKind.POD, fake.manifest)
        self.loads.update(fake.pod, fake.status)
        return fake

    def client(self, **headers: str) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(app=self.app, raise_app_exceptions=False),
            base_url="http://gateway",
            headers=headers,
        )


def read(made: Any) -> dict[str, Any]:
    """A model of the API as the manifest of an API server."""
    manifest: dict[str, Any] = made.model_dump(mode="json", by_alias=True, exclude_none=True)
    return manifest


def with_ready(adapter: Adapter, ready: Mapping[str, Any] | None = None) -> Adapter:
    """The adapter with that Ready condition; by default it is served."""
    condition = {"type": "Ready", "status": "True", "reason": "Served", "message": "", "observedGeneration": 1}
    status = {"conditions": [condition | dict(ready or {})], "resolved": {"sha256": SHA}}
    return Adapter.model_validate(read(adapter) | {"status": status})


def ready(name: str = "pixel", **spec: Any) -> Adapter:
    """An adapter that is served."""
    return with_ready(make.adapter(name, **spec))


def snapshot(pools: Sequence[Pool] = (), adapters: Sequence[Adapter] = ()) -> Snapshot:
    """What exists; without pools the one of `make`."""
    return Snapshot({p.key: p for p in pools or (make.pool(),)}, {a.key: a for a in adapters})
