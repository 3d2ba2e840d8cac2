"""The process that a plane lives in: it starts the control plane and the node, and ends both.

Everything below it ends with it, however it ends: components and containers are tethered to it by the kernel (see
`sandbox`). With a lifeline (its standard input) it ends by itself when whoever started it has gone.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from lorapool_common import logs
from lorapool_common.process import CannotStart, Process, run
from lorapool_local.binaries import Binaries
from lorapool_local.config import SupervisorConfig
from lorapool_local.control_plane.control_plane import ControlPlane, PlaneAddresses
from lorapool_local.control_plane.credentials import write_credentials
from lorapool_local.control_plane.flags import PlaneNetwork, Ports
from lorapool_local.errors import LocalError
from lorapool_local.loopback import Subnet, claim_subnet, free_ports, service_range
from lorapool_local.node.node import Node, NodeSettings
from lorapool_local.paths import StateDir
from lorapool_local.report import ComponentReport, Phase, PlaneReport, hold, read_report, write_report

# How often the report follows components that were started again.
_REPORT_S = 1.0


def main() -> None:
    """Argument: the state folder, with a `config.json` in it."""
    logs.configure()
    state = StateDir(Path(sys.argv[1]))
    config = SupervisorConfig.model_validate_json(state.config.read_text())
    run("lorapool supervisor", PlaneSupervisor(state, config).run)


class PlaneSupervisor:
    """Runs one plane from its start to its end, and keeps its report up to date."""

    def __init__(self, state: StateDir, config: SupervisorConfig) -> None:
        self._state = state
        self._config = config
        self._report = PlaneReport(pid=os.getpid(), phase=Phase.STARTING)

    async def run(self, process: Process) -> None:
        """Run the plane until the process is to stop. Raises: CannotStart, after a failure that the report says."""
        before, failures = read_report(self._state), ""
        with hold(self._state):
            self._update_report(phase=Phase.STARTING)
            try:
                await self._until_stopped(process, before.subnet if before else None)
            except* LocalError as error:
                failures = "; ".join(str(failure) for failure in error.exceptions)
            if failures:
                self._update_report(phase=Phase.FAILED, message=failures)
                raise CannotStart(failures)

    async def _until_stopped(self, process: Process, preferred_subnet: int | None) -> None:
        async with asyncio.TaskGroup() as tasks:
            background = [tasks.create_task(self._stop_with_lifeline(process))]
            async with self._plane(tasks, claim_subnet(preferred_subnet)) as plane:
                self._update_report(phase=Phase.READY, waiting_for="")
                background.append(tasks.create_task(self._refresh_report(plane)))
                await process.stopped()
                self._update_report(phase=Phase.STOPPING)
                for task in background:
                    task.cancel()

    @contextlib.asynccontextmanager
    async def _plane(self, tasks: asyncio.TaskGroup, subnet: Subnet) -> AsyncIterator[ControlPlane]:
        config, state = self._config.plane, self._state
        network = PlaneNetwork(subnet.host, service_range(subnet.host))
        addresses = PlaneAddresses(network, Ports(*free_ports(subnet.host, 5)))
        credentials = write_credentials(state, network, addresses.server, config.node.name)
        binaries = Binaries.from_json(self._config.binaries)
        plane = ControlPlane(state, addresses, binaries, credentials, config.extra_flags)
        self._update_report(
            server=addresses.server, kubeconfig=str(state.kubeconfig), subnet=subnet.index, node=config.node.name
        )
        settings = NodeSettings(config.node, subnet, addresses.server, credentials.authority, credentials.node, state)
        node = Node(settings)
        async with plane.running(tasks, lambda name: self._report_waiting(plane, name)):
            self._report_waiting(plane, "node")
            async with node.running(tasks):
                self._update_report(isolation=node.isolation)
                yield plane

    async def _stop_with_lifeline(self, process: Process) -> None:
        """Stop the process when standard input ends, where that is the lifeline."""
        if self._config.lifeline:
            reader = asyncio.StreamReader()
            protocol = asyncio.StreamReaderProtocol(reader)
            await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
            await reader.read()
            process.stop()

    async def _refresh_report(self, plane: ControlPlane) -> None:
        while True:
            self._update_report(components=_components(plane))
            await asyncio.sleep(_REPORT_S)

    def _report_waiting(self, plane: ControlPlane, name: str) -> None:
        self._update_report(waiting_for=name, components=_components(plane))

    def _update_report(self, **changes: object) -> None:
        report = self._report.model_copy(update=changes)
        if report != self._report or not self._state.report.exists():
            self._report = report
            write_report(self._state, report)


def _components(plane: ControlPlane) -> tuple[ComponentReport, ...]:
    host = plane.addresses.host
    return tuple(
        ComponentReport(
            name=component.program.name,
            pid=component.pid,
            address=f"{host}:{component.program.port}",
            log=str(component.program.log),
        )
        for component in plane.components
    )


if __name__ == "__main__":
    main()
