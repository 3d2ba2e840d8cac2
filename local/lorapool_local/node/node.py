"""The node: registers, renews its Lease, and runs the pods that are bound to it."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from lorapool_common.kube.client import Kube
from lorapool_common.kube.errors import ApiError
from lorapool_common.kube.reflector import Reflector
from lorapool_common.kube.resources import PODS, Selection
from lorapool_local.access import plane_access
from lorapool_local.config import Isolation, NodeConfig
from lorapool_local.errors import PlaneFailed
from lorapool_local.loopback import PodAddresses, Subnet
from lorapool_local.node.containers.bytecode import compile_own_packages
from lorapool_local.node.containers.deps import NodeDeps
from lorapool_local.node.containers.process import Mode, detect_mode
from lorapool_local.node.kubelet_api import KubeletServer
from lorapool_local.node.network.services import ServiceNetwork
from lorapool_local.node.pods import PodWorkers
from lorapool_local.node.probes.handlers import probe_client
from lorapool_local.node.registration import Registration, allocatable
from lorapool_local.node.reports.events import EventRecorder
from lorapool_local.node.spec.images import Images
from lorapool_local.node.volumes.references import References
from lorapool_local.node.worker import PodWorker
from lorapool_local.paths import StateDir
from lorapool_local.pki import KeyPair

_RETRY_S = 0.5
_REGISTER_S = 20.0
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
        access = plane_access(settings.server, settings.authority, pair=settings.pair)
        self._kube = Kube(access, field_manager="lorapool-node")
        self._references = References(self._kube)
        self._events = EventRecorder(self._kube, settings.config.name)
        self._probe_http = probe_client()
        self._pods: PodWorkers | None = None
        self.isolation = ""

    @contextlib.asynccontextmanager
    async def running(self, tasks: asyncio.TaskGroup) -> AsyncIterator[None]:
        """Registered and watching inside the block; no process of a pod is left after it."""
        settings = self._settings
        mode = await self._choose_mode()
        pods, network = PodWorkers(self._make_deps(mode)), ServiceNetwork(self._kube)
        self._pods = pods
        of_this_node = Selection(PODS, fields=f"spec.nodeName={settings.config.name}")
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
                ("pods", Reflector(self._kube, of_this_node, pods, network.pods).run()),
                ("services", network.serve()),
            )
        ]
        try:
            yield
        finally:
            for task in background:
                task.cancel()
            await pods.stop(_SHUTDOWN_S)
            await self._kube.close()
            await self._probe_http.aclose()

    def find(self, namespace: str, name: str) -> PodWorker | None:
        return self._pods.find(namespace, name) if self._pods else None

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
        except ApiError as error:
            if time.monotonic() > deadline:
                raise PlaneFailed(f"the node could not be registered: {error}") from error
        await asyncio.sleep(_RETRY_S)
