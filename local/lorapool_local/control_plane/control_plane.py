"""The four components, brought up in order."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from lorapool_common.kube.client import Kube
from lorapool_common.kube.errors import ApiError
from lorapool_common.kube.resources import SERVICE_ACCOUNTS
from lorapool_local.access import plane_access
from lorapool_local.binaries import Binaries
from lorapool_local.control_plane import flags
from lorapool_local.control_plane.component import Component, Program, log_tail
from lorapool_local.control_plane.credentials import PlaneCredentials
from lorapool_local.errors import PlaneFailed
from lorapool_local.paths import StateDir

_START_TIMEOUT_S = 90.0
_POLL_S = 0.05
_STOP_PATIENCE_S = 3.0

OnWaiting = Callable[[str], None]


@dataclass(frozen=True)
class PlaneAddresses:
    """Where this plane's components listen."""

    network: flags.PlaneNetwork
    ports: flags.Ports

    @property
    def host(self) -> str:
        return self.network.host

    @property
    def server(self) -> str:
        return f"https://{self.host}:{self.ports.apiserver}"


class ControlPlane:
    """Components and an admin's client. Ready only while its own children are alive."""

    def __init__(
        self,
        state: StateDir,
        addresses: PlaneAddresses,
        binaries: Binaries,
        credentials: PlaneCredentials,
        extra_flags: dict[str, list[str]],
    ) -> None:
        self.addresses = addresses
        programs = _programs(state, addresses, binaries, credentials, extra_flags)
        self.components = [Component(program) for program in programs]
        self.admin = Kube(plane_access(addresses.server, credentials.authority, token=credentials.admin_token))
        etcd = f"https://{addresses.host}:{addresses.ports.etcd}"
        self._etcd = Kube(plane_access(etcd, credentials.authority, pair=credentials.components.etcd_client))

    @contextlib.asynccontextmanager
    async def running(self, tasks: asyncio.TaskGroup, on_waiting: OnWaiting) -> AsyncIterator[None]:
        """Up inside the block; a component that dies too often fails the task group."""
        etcd, apiserver, *others = self.components
        kept: list[asyncio.Task[None]] = []

        def keep(component: Component) -> None:
            kept.append(tasks.create_task(component.keep_running(), name=component.program.name))

        try:
            keep(etcd)
            await self._wait_for(etcd, lambda: self._etcd.is_healthy("/health"), on_waiting)
            keep(apiserver)
            await self._wait_for(apiserver, self.admin.is_healthy, on_waiting)
            for component in others:
                keep(component)
            await self._wait_for(others[0], self._default_service_account_exists, on_waiting)
            yield
        finally:
            for task in kept:
                task.cancel()
            # All but etcd keep nothing: their graceful end would only take time.
            for component in others:
                await component.stop(0)
            await apiserver.stop(0)
            await etcd.stop(_STOP_PATIENCE_S)
            await self.admin.close()
            await self._etcd.close()

    async def _default_service_account_exists(self) -> bool:
        try:
            await self.admin.get(SERVICE_ACCOUNTS, "default", "default")
        except ApiError:
            return False
        return True

    async def _wait_for(
        self, component: Component, is_ready: Callable[[], Awaitable[bool]], on_waiting: OnWaiting
    ) -> None:
        on_waiting(component.program.name)
        deadline = time.monotonic() + _START_TIMEOUT_S
        # Only while the plane's own child lives: another program might answer at its port.
        while not (component.pid is not None and await is_ready() and component.pid is not None):
            if time.monotonic() > deadline:
                log = component.program.log
                raise PlaneFailed(
                    f"{component.program.name} is not ready after {_START_TIMEOUT_S:.0f} s:\n{log_tail(log)}"
                )
            await asyncio.sleep(_POLL_S)


def _programs(
    state: StateDir,
    addresses: PlaneAddresses,
    binaries: Binaries,
    credentials: PlaneCredentials,
    extra_flags: dict[str, list[str]],
) -> list[Program]:
    network, host, ports, files = addresses.network, addresses.host, addresses.ports, credentials.components

    def program(name: str, path: Path, own: flags.Flags, port: int) -> Program:
        command = flags.command(path, own, extra_flags.get(name, []))
        return Program(name, command, state.logs / f"{name}.log", port)

    return [
        program("etcd", binaries.etcd, flags.etcd(host, ports, files, state.etcd), ports.etcd),
        program("kube-apiserver", binaries.apiserver, flags.apiserver(network, ports, files), ports.apiserver),
        program(
            "kube-controller-manager",
            binaries.controller_manager,
            flags.controller_manager(network, ports, files),
            ports.controller_manager,
        ),
        program("kube-scheduler", binaries.scheduler, flags.scheduler(host, ports, files), ports.scheduler),
    ]
