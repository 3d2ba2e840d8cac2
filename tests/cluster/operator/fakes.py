"""Runtime pods that are functions: the control port of `lorapool_api.wire`, and a kubelet that starts them."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from secrets import randbelow
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from lorapool_api.kinds.adapter import AdapterFormat
from lorapool_api.kinds.conditions import Reason
from lorapool_api.names import CONTROL_PORT, POOL_LABEL
from lorapool_api.wire.catalog import Catalog, CatalogDelta, CatalogEntry
from lorapool_api.wire.reply import ErrorCode, ErrorReply
from lorapool_api.wire.state import (
    AdapterFileFacts,
    AdapterPhase,
    AdapterState,
    BasePhase,
    BaseReport,
    BaseState,
    PodState,
    Tier,
)
from lorapool_common.kube.client import Kube
from lorapool_common.kube.errors import ApiError
from lorapool_common.kube.resources import PODS, Resource
from lorapool_common.signed.calls import SIGNATURE_HEADER


class Admin(Kube):
    """What tests may do and the operator never does."""

    async def remove(self, resource: Resource, namespace: str | None, name: str, grace_s: int | None = None) -> None:
        """Delete an object, if there is one."""
        try:
            await self.delete(resource, namespace, name, None if grace_s is None else {"gracePeriodSeconds": grace_s})
        except ApiError as error:
            if not error.is_gone:
                raise


@dataclass
class FakePod:
    """The control port of a pod. Tests set what it shall do, and read what it was told.

    `holds_back_only`: the beginning of keys that it never gets; `files`: sha256 of what lies at an address; `garbage`:
    what it answers to everything.
    """

    warm: bool = True
    modules: dict[str, dict[str, tuple[int, ...]]] = field(default_factory=dict)
    failures: dict[str, tuple[Reason, str]] = field(default_factory=dict)
    base_failure: tuple[Reason, str] | None = None
    hangs: bool = False
    garbage: bytes | None = None
    slow_s: float = 0.0
    holds_back: bool = False
    holds_back_only: str = ""
    files: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.instance = uuid.uuid4().hex
        self.version = 1
        self.ip = ""
        self.calls: list[str] = []
        self.signed: list[tuple[str, str, str]] = []
        self.entries: dict[str, CatalogEntry] | None = None
        self._changed_at: dict[str, int] = {}
        self._digest: tuple[dict[str, CatalogEntry], str] | None = None
        self._news = asyncio.Condition()
        self._runner: web.AppRunner | None = None

    # ---- what tests do

    async def restart(self) -> None:
        """Another process in the same pod, at the same address: it knows nothing."""
        self.instance = uuid.uuid4().hex
        self.version, self.entries = 1, None
        self._changed_at.clear()
        await self._tell()

    async def change(self, **attributes: Any) -> None:
        """Set attributes and let those who wait know."""
        for name, value in attributes.items():
            setattr(self, name, value)
        self.version += 1
        self._changed_at = dict.fromkeys(self.entries or {}, self.version)
        await self._tell()

    @property
    def digest(self) -> str | None:
        """Of the entries as they are, also when a test changed them; made once for as long as they stay."""
        if self.entries is None:
            return None
        if self._digest is None or self._digest[0] is not self.entries:
            self._digest = (self.entries, Catalog.of(self.entries.values()).digest)
        return self._digest[1]

    def generation(self, key: str) -> int | None:
        entry = (self.entries or {}).get(key)
        return entry.generation if entry else None

    # ---- the server

    async def start(self) -> None:
        app = web.Application(client_max_size=64 * 1024 * 1024, middlewares=[self._misbehave])
        app.add_routes([web.get("/v1/base", self._base), web.get("/v1/state", self._get_state)])
        app.add_routes([web.put("/v1/catalog", self._put), web.patch("/v1/catalog", self._patch)])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        while True:
            self.ip = f"127.{180 + randbelow(70)}.{1 + randbelow(254)}.{2 + randbelow(250)}"
            with contextlib.suppress(OSError):
                await web.TCPSite(self._runner, self.ip, CONTROL_PORT).start()
                return

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    @web.middleware
    async def _misbehave(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self.hangs:
            await asyncio.sleep(3600)
        if self.garbage is not None:
            return web.Response(body=self.garbage, content_type="application/json")
        return await handler(request)

    async def _admit(self, request: web.Request, what: str) -> None:
        self.signed.append((request.headers.get(SIGNATURE_HEADER, ""), request.method, request.raw_path))
        self.calls.append(what)
        await asyncio.sleep(self.slow_s)

    async def _base(self, request: web.Request) -> web.Response:
        await self._admit(request, "base")
        if not self.warm:
            return _error(503, ErrorCode.NOT_READY, "loading")
        return _json(BaseReport(revision="rev-1", modules=self.modules))

    async def _get_state(self, request: web.Request) -> web.Response:
        since, instance = int(request.query["since"]), request.query["instance"]
        if instance != self.instance:
            return _json(self.state(complete=True))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(float(request.query["wait"])), self._news:
                await self._news.wait_for(lambda: self.version > since or self.instance != instance)
        if self.instance != instance:
            return _json(self.state(complete=True))
        return _json(self.state(keys=[k for k, v in self._changed_at.items() if v > since]))

    async def _put(self, request: web.Request) -> web.Response:
        await self._admit(request, "put")
        catalog = Catalog.model_validate_json(await request.read())
        self.entries = {e.key: e for e in catalog.entries}
        await self._took(list(self.entries))
        return _json(self.state(complete=True))

    async def _patch(self, request: web.Request) -> web.Response:
        await self._admit(request, "patch")
        change = CatalogDelta.model_validate_json(await request.read())
        if self.entries is None or change.base != self.digest:
            return _error(409, ErrorCode.DIGEST_MISMATCH, f"holds {self.digest}")
        entries = {k: e for k, e in self.entries.items() if k not in change.remove}
        self.entries = entries | {e.key: e for e in change.upsert}
        await self._took([e.key for e in change.upsert])
        return _json(self.state(keys=[e.key for e in change.upsert]))

    async def _took(self, keys: list[str]) -> None:
        self.version += 1
        self._changed_at = {k: v for k, v in self._changed_at.items() if k in (self.entries or {})}
        self._changed_at |= dict.fromkeys(keys, self.version)
        await self._tell()

    def state(self, *, complete: bool = False, keys: list[str] | None = None) -> PodState:
        named = list(self.entries or {}) if complete else keys or []
        return PodState(
            instance=self.instance,
            version=self.version,
            digest=self.digest,
            base=self._base_state(),
            complete=complete,
            adapters={k: self._adapter(e) for k in named if (e := (self.entries or {}).get(k))},
        )

    def _base_state(self) -> BaseState:
        if self.base_failure is not None:
            return BaseState(phase=BasePhase.FAILED, reason=self.base_failure[0], message=self.base_failure[1])
        if not self.warm:
            return BaseState(phase=BasePhase.LOADING)
        return BaseState(phase=BasePhase.WARM, revision="rev-1", size_bytes=10, cold_start_s=1.5)

    def _adapter(self, entry: CatalogEntry) -> AdapterState:
        if entry.key in self.failures:
            reason, message = self.failures[entry.key]
            return AdapterState(phase=AdapterPhase.FAILED, generation=entry.generation, reason=reason, message=message)
        is_late = self.holds_back or (self.holds_back_only and entry.key.startswith(self.holds_back_only))
        phase, facts = AdapterPhase.DOWNLOADING if is_late else AdapterPhase.READY, None
        if sha256 := self.files.get(getattr(entry.source, "url", "")):
            facts = AdapterFileFacts(sha256=sha256, size_bytes=9, rank=4, targets=1, format=AdapterFormat.KOHYA)
        return AdapterState(phase=phase, tier=Tier.DISK, generation=entry.generation, facts=facts)


def _json(model: Any, status: int = 200) -> web.Response:
    return web.Response(text=model.model_dump_json(), status=status, content_type="application/json")


def _error(status: int, code: ErrorCode, message: str) -> web.Response:
    return _json(ErrorReply(code=code, message=message), status)


class FakeKubelet:
    """Gives every runtime pod of a namespace a process of ours, and says so in the pod's status."""

    def __init__(self, kube: Admin, namespace: str) -> None:
        self.kube = kube
        self.namespace = namespace
        self.pods: dict[str, FakePod] = {}
        self.template: dict[str, Any] = {}
        self._by_uid: dict[str, FakePod] = {}

    def only(self) -> FakePod:
        """The one pod there is."""
        (pod,) = self.pods.values()
        return pod

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["FakeKubelet"]:
        task = asyncio.create_task(self._run())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            for pod in self._by_uid.values():
                await pod.stop()

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(ApiError):
                await self._look()
            await asyncio.sleep(0.05)

    async def _look(self) -> None:
        listed = await self.kube.list(PODS, self.namespace, POOL_LABEL)
        present = {b["metadata"]["uid"]: b for b in listed}
        for uid in set(self._by_uid) - set(present):
            await self._by_uid.pop(uid).stop()
        for uid, body in present.items():
            if body["metadata"].get("deletionTimestamp"):
                await self._end(uid, body)
            elif uid not in self._by_uid:
                await self._begin(uid, body)
        self.pods = {b["metadata"]["name"]: self._by_uid[uid] for uid, b in present.items() if uid in self._by_uid}

    async def _begin(self, uid: str, body: dict[str, Any]) -> None:
        pod = self._by_uid[uid] = FakePod(**self.template)
        await pod.start()
        await self.set_status(body["metadata"]["name"], running_status(pod.ip, ready=pod.warm))

    async def _end(self, uid: str, body: dict[str, Any]) -> None:
        pod = self._by_uid.pop(uid, None)
        if pod is not None:
            await pod.stop()
        await self.kube.remove(PODS, self.namespace, body["metadata"]["name"], grace_s=0)

    async def set_status(self, name: str, status: dict[str, Any]) -> None:
        await self.kube.patch(PODS, self.namespace, name, {"status": status}, "status")


def running_status(ip: str, *, ready: bool) -> dict[str, Any]:
    """What a kubelet says of a pod whose container runs."""
    flag = "True" if ready else "False"
    return {
        "phase": "Running",
        "podIP": ip,
        "podIPs": [{"ip": ip}],
        "conditions": [{"type": t, "status": flag} for t in ("Ready", "ContainersReady")]
        + [{"type": "PodScheduled", "status": "True"}],
        "containerStatuses": [
            {
                "name": "runtime",
                "ready": ready,
                "restartCount": 0,
                "image": "stub",
                "imageID": "",
                "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
            }
        ],
    }
