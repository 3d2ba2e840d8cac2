"""A control plane and one real node: containerd, kubelet and kube-proxy, in namespaces of their own."""

import asyncio
import contextlib
import json
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.node.harness import cgroups, configs, namespaces
from tests.node.harness.namespaces import Namespaces, NamespacesFailed
from tests.node.harness.needs import cni_folder
from tests.node.harness.ranges import Families, free_ranges, joined

from lorapool_common.files import write_atomically
from lorapool_common.kube.client import Kube
from lorapool_common.kube.errors import ApiError
from lorapool_common.kube.resources import NODES, Resource
from lorapool_local.binaries import Binaries, NodeBinaries
from lorapool_local.control_plane import kubeconfig
from lorapool_local.control_plane.component import Component, Program, log_tail
from lorapool_local.control_plane.control_plane import ControlPlane, PlaneAddresses
from lorapool_local.control_plane.credentials import PlaneCredentials, write_credentials
from lorapool_local.control_plane.flags import PlaneNetwork, Ports
from lorapool_local.errors import PlaneFailed
from lorapool_local.loopback import free_ports
from lorapool_local.paths import StateDir
from lorapool_local.pki import load_or_create_authority

NAME: Final = "lorapool-node"
CGROUP_PREFIX: Final = "lorapool-node-"
_START_TIMEOUT_S: Final = 120.0
_POLL_S: Final = 0.1
_KUBELET_PORT: Final = 10250

OnWaiting = Callable[[str], None]


@dataclass(frozen=True)
class RealNode:
    """A node that is Ready."""

    kubeconfig: Path
    address: str
    space: Namespaces


@contextlib.asynccontextmanager
async def running(
    state: StateDir, binaries: Binaries, node_binaries: NodeBinaries, images: list[Path], on_waiting: OnWaiting
) -> AsyncIterator[RealNode]:
    """A cluster of one node for the length of the block, with these images on it.

    Raises:
        LocalError: some part did not come up; says which, with the end of its log.
    """
    families = free_ranges()
    first = families[0]
    async with contextlib.AsyncExitStack() as stack:
        cgroup = stack.enter_context(cgroups.cgroup(f"{CGROUP_PREFIX}{state.root.name}"))
        on_waiting("namespaces")
        space = await stack.enter_async_context(namespaces.held(state.root))
        namespaces.connect(space, families)
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        services = joined(ranges.services for ranges in families)
        network = PlaneNetwork(str(first.host), services, endpoints=True)
        addresses = PlaneAddresses(network, Ports(*free_ports(network.host, 5)))
        credentials = write_credentials(state, network, addresses.server, NAME, str(first.node))
        plane = ControlPlane(state, addresses, binaries, credentials, {})
        await stack.enter_async_context(plane.running(tasks, on_waiting))
        await _let_the_apiserver_use_the_kubelet(plane.admin)
        node = _Node(state, space, families, credentials, addresses.server, node_binaries)
        await stack.enter_async_context(node.running(tasks, plane.admin, cgroup, images, on_waiting))
        yield RealNode(state.kubeconfig, str(first.node), space)


class _Node:
    """The three programs of the node."""

    def __init__(
        self,
        state: StateDir,
        space: Namespaces,
        families: Families,
        credentials: PlaneCredentials,
        server: str,
        binaries: NodeBinaries,
    ) -> None:
        self._state = state
        self._space = space
        self._families = families
        self._credentials = credentials
        self._server = server
        self._binaries = binaries

    @contextlib.asynccontextmanager
    async def running(
        self, tasks: asyncio.TaskGroup, admin: Kube, cgroup: str, images: list[Path], on_waiting: OnWaiting
    ) -> AsyncIterator[None]:
        containerd, kubelet, proxy = self._containerd(), self._kubelet(cgroup), self._proxy()
        keepers: list[asyncio.Task[None]] = []

        def keep(component: Component) -> None:
            keepers.append(tasks.create_task(component.keep_running(), name=component.program.name))

        try:
            keep(containerd)
            on_waiting("containerd")
            await _wait(containerd, lambda: self._ctr("version"))
            for archive in images:
                on_waiting("images")
                await asyncio.to_thread(self._space.run, *self._ctr_command("images", "import", str(archive)))
            keep(kubelet)
            on_waiting("kubelet")
            await _wait(kubelet, lambda: _is_ready(admin))
            keep(proxy)
            yield
        finally:
            for keeper in keepers:
                keeper.cancel()
            for component in (proxy, kubelet, containerd):
                await component.stop(0)

    def _containerd(self) -> Component:
        folder = self._write("cni/10-lorapool.conflist", configs.network_plugins(self._families)).parent
        plugins, runc = cni_folder(), shutil.which("runc")
        if plugins is None or runc is None:
            raise PlaneFailed("the network plugins and runc were there a moment ago")
        config = self._state.root / "containerd.toml"
        config.write_text(configs.containerd(plugins, folder, runc))
        return self._component("containerd", Path(str(shutil.which("containerd"))), f"--config={config}")

    def _kubelet(self, cgroup: str) -> Component:
        credentials = self._credentials
        own = kubeconfig.with_certificate(self._server, credentials.authority, credentials.node)
        return self._component(
            "kubelet",
            self._binaries.kubelet,
            f"--config={self._write('kubelet.yaml', configs.kubelet(credentials.authority, credentials.node, cgroup))}",
            f"--kubeconfig={kubeconfig.write(self._state.secrets / 'node.kubeconfig', own)}",
            f"--hostname-override={NAME}",
            f"--node-ip={joined(ranges.node for ranges in self._families)}",
        )

    def _proxy(self) -> Component:
        authority = load_or_create_authority(self._state.secrets)
        pair = authority.issue("kube-proxy", "system:kube-proxy")
        own = kubeconfig.with_certificate(self._server, authority.certificate_file, pair)
        path = kubeconfig.write(self._state.secrets / "kube-proxy.kubeconfig", own)
        config = self._write("kube-proxy.yaml", configs.kube_proxy(path, self._families, NAME))
        return self._component("kube-proxy", self._binaries.kube_proxy, f"--config={config}")

    def _component(self, name: str, program: Path, *arguments: str) -> Component:
        command = self._space.command(program, *arguments)
        return Component(Program(name, command, self._state.logs / f"{name}.log", _KUBELET_PORT))

    def _write(self, name: str, config: dict[str, Any]) -> Path:
        path = self._state.root / name
        # JSON is YAML, and the network plugins read nothing else.
        write_atomically(path, json.dumps(config))
        return path

    def _ctr_command(self, *arguments: str) -> list[str]:
        return ["ctr", f"--address={configs.CONTAINERD_SOCKET}", "--namespace=k8s.io", *arguments]

    async def _ctr(self, *arguments: str) -> bool:
        try:
            await asyncio.to_thread(self._space.run, *self._ctr_command(*arguments))
        except NamespacesFailed:
            return False
        return True


async def _let_the_apiserver_use_the_kubelet(admin: Kube) -> None:
    """For logs, exec and port-forward: a kubelet asks whether the apiserver's own certificate may."""
    user = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "kube-apiserver-kubelet-client"}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:kubelet-api-admin"}
    binding = {"metadata": {"name": "apiserver-kubelet-api-admin"}, "roleRef": role, "subjects": [user]}
    bindings = Resource("rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding")
    await admin.create(bindings, None, binding)


async def _is_ready(admin: Kube) -> bool:
    try:
        node = await admin.get(NODES, None, NAME)
    except ApiError:
        return False
    return any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"].get("conditions", []))


async def _wait(component: Component, holds: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not await holds():
        if time.monotonic() > deadline:
            log = component.program.log
            raise PlaneFailed(
                f"{component.program.name} is not ready after {_START_TIMEOUT_S:.0f} s:\n{log_tail(log, 20)}"
            )
        await asyncio.sleep(_POLL_S)
