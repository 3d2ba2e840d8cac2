"""The probes of one run of a container: startup first, then readiness and liveness side by side."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from lorapool_local.node.probes.handlers import ProbeTarget, ask
from lorapool_local.node.spec.container import Container
from lorapool_local.node.spec.probe import Probe


class ProbeListener(Protocol):
    """Receives the results of probes: the runner of the container."""

    def on_started(self) -> None: ...

    def on_ready(self, ready: bool) -> None: ...

    def on_probe_failure(self, kind: str, message: str) -> None:
        """One probe was answered badly; that alone changes nothing."""
        ...

    async def on_unhealthy(self, kind: str, probe: Probe) -> None:
        """The container has to be started again."""
        ...


@dataclass(frozen=True)
class Prober:
    """Runs a container's probes: the startup probe first, then readiness and liveness side by side."""

    container: Container
    target: ProbeTarget
    listener: ProbeListener

    async def watch(self) -> None:
        """Until cancelled, or until the container is found unhealthy."""
        if (startup := self.container.startup_probe) is not None:
            if not await self._first_verdict("Startup", startup):
                await self.listener.on_unhealthy("Startup", startup)
                return
            self.listener.on_started()
        async with asyncio.TaskGroup() as probes:
            if self.container.readiness_probe is not None:
                probes.create_task(self._watch_readiness(self.container.readiness_probe))
            if self.container.liveness_probe is not None:
                probes.create_task(self._watch_liveness(self.container.liveness_probe))

    async def _first_verdict(self, kind: str, probe: Probe) -> bool:
        return await self._until(kind, probe, lambda _: True)

    async def _watch_readiness(self, probe: Probe) -> None:
        await watch_probe(
            probe,
            self.target,
            on_verdict=self.listener.on_ready,
            on_failure=lambda message: self.listener.on_probe_failure("Readiness", message),
        )

    async def _watch_liveness(self, probe: Probe) -> None:
        await self._until("Liveness", probe, lambda ok: not ok)
        await self.listener.on_unhealthy("Liveness", probe)

    async def _until(self, kind: str, probe: Probe, matters: Callable[[bool], bool]) -> bool:
        """The first verdict that matters."""
        verdict: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def decide(ok: bool) -> None:
            if matters(ok) and not verdict.done():
                verdict.set_result(ok)

        watching = asyncio.create_task(
            watch_probe(
                probe,
                self.target,
                on_verdict=decide,
                on_failure=lambda message: self.listener.on_probe_failure(kind, message),
            )
        )
        try:
            return await verdict
        finally:
            watching.cancel()


async def watch_probe(
    probe: Probe,
    target: ProbeTarget,
    *,
    on_verdict: Callable[[bool], None],
    on_failure: Callable[[str], None],
) -> None:
    """Probe for ever; call `on_verdict` when as many equal results in a row as the thresholds ask for change it."""
    verdict: bool | None = None
    row_ok, row_length = True, 0
    await asyncio.sleep(probe.initial_delay_seconds)
    while True:
        answer = await ask(probe, target, probe.timeout_seconds)
        if not answer.ok:
            on_failure(answer.message)
        row_length = row_length + 1 if answer.ok == row_ok else 1
        row_ok = answer.ok
        threshold = probe.success_threshold if answer.ok else probe.failure_threshold
        if answer.ok != verdict and row_length >= threshold:
            verdict = answer.ok
            on_verdict(verdict)
        await asyncio.sleep(probe.period_seconds)
