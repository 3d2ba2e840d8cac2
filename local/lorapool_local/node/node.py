"""The node: registered, leased, and running whatever is bound to it."""

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import structlog
from pydantic import ValidationError

from lorapool_local.config import Isolation, NodeConfig
from lorapool_local.errors import PlaneFailed
from lorapool_local.kube import Kube, KubeError, Object
from lorapool_local.loopback import PodAddresses, Subnet
from lorapool_local.node.containers.bytecode import compile_own_packages
from lorapool_local.node.containers.deps import NodeDeps
from lorapool_local.node.containers.probes import probe_client
from lorapool_local.node.containers.process import Mode, detect_mode
from lorapool_local.node.kubelet_api import KubeletServer
from lorapool_local.node.network.services import ServiceNetwork
from lorapool_local.node.registration import Registration, allocatable
from lorapool_local.node.reports.events import EventRecorder
from lorapool_local.node.spec.images import Images
from lorapool_local.node.spec.pod import Pod
from lorapool_local.node.volumes.references import References
from lorapool_local.node.worker import PodWorker
from lorapool_local.paths import StateDir
from lorapool_local.pki import KeyPair

log = structlog.get_logger(__name__)

_RETRY_S = 0.5
_REGISTER_S = 20.0
_GONE = 410
# Pods get this long when the whole plane ends, whatever their own grace period.
_SHUTDOWN_S = 5.0


@dataclass(frozen=True)
class NodeSettings:
    """What a node is started with: its configuration, addresses, credentials and folders."""

    config: NodeConfig
    subnet: Subnet
    server: str
    authority: Path
    pair: KeyPair
    state: StateDir


class Node:
    """Registers with the API server and runs a worker for each pod that is bound to it."""

    def __init__(self, settings: NodeSettings) -> None:
        self._settings = settings
        self._kube = Kube(settings.server, settings.authority, pair=settings.pair)
        self._references = References(self._kube)
        self._events = EventRecorder(self._kube, settings.config.name)
        self._probe_http = probe_client()
        self._deps: NodeDeps | None = None
        self._workers: dict[str, PodWorker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.isolation = ""

    @contextlib.asynccontextmanager
    async def running(self, tasks: asyncio.TaskGroup) -> AsyncIterator[None]:
        """Registered and watching inside the block; no process of a pod is left after it."""
        settings = self._settings
        mode = await self._choose_mode()
        self._deps = self._make_deps(mode)
        server = KubeletServer(self, settings.subnet.host, settings.authority, settings.pair)
        registration = Registration(self._kube, settings.config, settings.subnet.host, server.port)
        await _register(registration)
        background = [
            tasks.create_task(coroutine, name=name)
            for name, coroutine in (
                ("kubelet api", server.serve()),
                ("lease", registration.keep()),
                ("bytecode", asyncio.to_thread(compile_own_packages)),
                ("events", self._events.write()),
                ("pods", self._follow_pods()),
                ("services", ServiceNetwork(self._kube, settings.config.name).serve()),
            )
        ]
        try:
            yield
        finally:
            for task in background:
                task.cancel()
            await self._stop_all()
            await self._kube.close()
            await self._probe_http.aclose()

    def find(self, namespace: str, name: str) -> PodWorker | None:
        found = [w for w in self._workers.values() if w.pod.key == f"{namespace}/{name}"]
        return found[-1] if found else None

    # -- pods

    async def _follow_pods(self) -> None:
        """List, then watch, again and again."""
        while True:
            try:
                await self._list_and_watch()
            except KubeError as error:
                if error.code != _GONE:
                    log.warning("pods cannot be watched", error=str(error))
                    await asyncio.sleep(_RETRY_S)

    async def _list_and_watch(self) -> None:
        selector = f"spec.nodeName={self._settings.config.name}"
        listed = await self._kube.get("/api/v1/pods", fieldSelector=selector)
        present = {item["metadata"]["uid"] for item in listed["items"]}
        for uid in self._workers.keys() - present:
            self._workers[uid].gone()
        await self._remove_leftovers(present)
        for item in listed["items"]:
            self._apply(item)
        version = listed["metadata"]["resourceVersion"]
        async for kind, value in self._kube.watch("/api/v1/pods", version, fieldSelector=selector):
            if kind in ("ADDED", "MODIFIED"):
                self._apply(value)
            elif kind == "DELETED" and (worker := self._workers.get(value["metadata"]["uid"])):
                worker.gone()

    def _apply(self, value: Object) -> None:
        try:
            pod = Pod.model_validate(value)
        except ValidationError as error:
            log.error("pod not understood", pod=value["metadata"]["name"], error=str(error))  # noqa: TRY400 -- the text says it all
            return
        worker = self._workers.get(pod.uid)
        if worker is not None:
            worker.update(pod)
        elif self._deps is not None and not (pod.is_finished and pod.metadata.deletion_timestamp is None):
            self._start(PodWorker(self._deps, pod), pod)

    def _start(self, worker: PodWorker, pod: Pod) -> None:
        self._workers[pod.uid] = worker
        worker.update(pod)
        task = asyncio.get_running_loop().create_task(worker.run(), name=f"pod {pod.key}")
        self._tasks[pod.uid] = task
        task.add_done_callback(lambda ended: self._forget(pod, ended))

    def _forget(self, pod: Pod, task: asyncio.Task[None]) -> None:
        self._workers.pop(pod.uid, None)
        self._tasks.pop(pod.uid, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("pod worker failed", pod=pod.key, exc_info=error)
            # A fault of this program: what the apiserver next says of the pod starts it again.
            self._events.warning(pod, "NodeFault", f"{type(error).__name__}: {error}")

    async def _remove_leftovers(self, present: set[str]) -> None:
        """Folders of pods that went while the node was away."""
        for folder in self._settings.state.pods.iterdir():
            if folder.name not in present and folder.name not in self._workers:
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def _stop_all(self) -> None:
        workers, running = list(self._workers.values()), list(self._tasks.values())
        await asyncio.gather(*(worker.stop(_SHUTDOWN_S) for worker in workers), return_exceptions=True)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    # -- start

    async def _choose_mode(self) -> Mode:
        wanted = self._settings.config.isolation
        if wanted is Isolation.FOLDERS:
            self.isolation = "folders (as asked for)"
            return Mode.FOLDERS
        mode, refusal = await detect_mode(self._settings.state.root / "probe")
        if mode is Mode.FOLDERS and wanted is Isolation.NAMESPACES:
            raise PlaneFailed(f"this machine allows no namespaces: {refusal}")
        self.isolation = f"folders: this machine allows no namespaces ({refusal})" if refusal else "namespaces"
        return mode

    def _make_deps(self, mode: Mode) -> NodeDeps:
        settings = self._settings
        api = urlsplit(settings.server)
        return NodeDeps(
            config=settings.config,
            kube=self._kube,
            references=self._references,
            events=self._events,
            images=Images(settings.config.images),
            addresses=PodAddresses(settings.subnet.index),
            probe_http=self._probe_http,
            mode=mode,
            state_dir=settings.state.root,
            pods_dir=settings.state.pods,
            host_ip=settings.subnet.host,
            api_host=api.hostname or "",
            api_port=api.port or 0,
            allocatable=allocatable(settings.config),
        )


async def _register(registration: Registration) -> None:
    """A fresh apiserver makes its namespaces and roles in the background: it may refuse at first."""
    deadline = time.monotonic() + _REGISTER_S
    while True:
        try:
            return await registration.register()
        except KubeError as error:
            if time.monotonic() > deadline:
                raise PlaneFailed(f"the node could not be registered: {error}") from error
        await asyncio.sleep(_RETRY_S)
