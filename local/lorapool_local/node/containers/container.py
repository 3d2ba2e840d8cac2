"""One container of a pod: started, probed, started again by its pod's policy, and stopped."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from lorapool_common.backoff import Backoff
from lorapool_common.kube.errors import ApiError
from lorapool_local.node.containers.commands import run_in_container
from lorapool_local.node.containers.context import PodContext
from lorapool_local.node.containers.logs import LogWriter, remove_old_logs
from lorapool_local.node.containers.preparation import ImageMissing, prepare
from lorapool_local.node.containers.process import ContainerProcess, ContainerSpec, Exit
from lorapool_local.node.containers.restarts import CrashBackoff, is_restarted
from lorapool_local.node.containers.termination import terminated, termination_message
from lorapool_local.node.probes.handlers import ProbeTarget, ask
from lorapool_local.node.probes.prober import Prober
from lorapool_local.node.reports.previous_run import PreviousRun
from lorapool_local.node.reports.snapshot import ContainerSnapshot, ContainerWaiting
from lorapool_local.node.spec.container import Container
from lorapool_local.node.spec.environment import ConfigError
from lorapool_local.node.spec.probe import Probe
from lorapool_local.node.volumes.volumes import VolumeError

_CONFIG_RETRY_S = 1.0
# What a container gets after its hook has used up the whole grace period, as on a real node.
_LEAST_GRACE_S = 2.0


class ContainerRunner:
    """Runs one container; `snapshot` is what to report of it, `on_change` is called when that has changed."""

    def __init__(
        self,
        container: Container,
        context: PodContext,
        on_change: Callable[[], None],
        *,
        restart_policy: str,
        previous: PreviousRun,
        is_init: bool,
        is_sidecar: bool = False,
    ) -> None:
        self.container = container
        self.snapshot = ContainerSnapshot(
            name=container.name,
            image=container.image,
            state=previous.ended if previous.is_final and previous.ended else ContainerWaiting("PodInitializing"),
            last_state=None if previous.is_final else previous.ended,
            restart_count=previous.restart_count,
            is_sidecar=is_sidecar,
        )
        self._context = context
        self._on_change = on_change
        self._restart_policy = restart_policy
        self._is_init = is_init
        config = context.deps.config.backoff
        self._crash_backoff = CrashBackoff(config)
        self._pull_backoff = Backoff(config.initial_s, config.maximum_s, jitter=0.0)
        self._process: ContainerProcess | None = None
        self._stopping = False
        self._is_over = previous.is_final
        self._has_run = previous.ended is not None or previous.restart_count > 0
        self._was_started = asyncio.Event()
        self._environment: Mapping[str, str] = {}
        self._ending: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Run until the container is not to be started again: its last state is then `ContainerTerminated`."""
        while not (self._stopping or self._is_over):
            spec = await self._specification()
            outcome, started_at = await self._run_once(spec)
            restarting = not self._stopping and is_restarted(self._restart_policy, outcome)
            self._ended(outcome, started_at, restarting=restarting)
            if not restarting:
                return
            await self._pause(self._crash_backoff.after_run(time.time() - started_at.timestamp()))

    async def wait_until_started(self) -> None:
        """Running, and past its startup probe."""
        await self._was_started.wait()

    async def stop(self, grace_s: float) -> None:
        """Hook, SIGTERM, and SIGKILL when the grace period is over. The container does not start again."""
        self._stopping = True
        await self._end_process(grace_s)

    def kill(self) -> None:
        """SIGKILL at once; the container does not start again."""
        self._stopping = True
        if self._process is not None:
            self._process.kill()

    async def execute(self, command: tuple[str, ...]) -> tuple[int, str]:
        """Run a command inside the container as it runs now; (exit code, output)."""
        return await run_in_container(self._process, self._context.deps.mode, self._environment, command)

    # -- before a start

    async def _specification(self) -> ContainerSpec:
        """Wait until the image is there and everything that the container refers to."""
        while True:
            try:
                spec = await prepare(self._context, self.container)
            except ImageMissing as error:
                await self._wait_for_image(str(error))
            except (ConfigError, VolumeError, ApiError) as error:
                self._context.warning("Failed", f"Error: {error}")
                self._waiting("CreateContainerConfigError", str(error))
                await asyncio.sleep(_CONFIG_RETRY_S)
            else:
                self._environment = spec.env
                return spec

    async def _wait_for_image(self, message: str) -> None:
        self._context.warning("Failed", message)
        self._waiting("ErrImagePull", message)
        await asyncio.sleep(_CONFIG_RETRY_S)
        self._waiting("ImagePullBackOff", f'Back-off pulling image "{self.container.image}": {message}')
        await asyncio.sleep(self._pull_backoff.next())

    # -- one run

    async def _run_once(self, spec: ContainerSpec) -> tuple[Exit, datetime]:
        count = self.snapshot.restart_count + 1 if self._has_run else 0
        self._has_run = True
        log = LogWriter(self._context.log_file(self.container.name, count))
        remove_old_logs(self._context.folder, self.container.name, count)
        started_at = datetime.now(UTC)
        self._process = process = await ContainerProcess.start(spec, log)
        if self._stopping:
            process.kill()
        container_id = f"lorapool://{self._context.pod.uid}/{self.container.name}/{count}"
        self._set(self.snapshot.running(count, started_at, container_id, self.container))
        self._context.normal("Started", f"Started container {self.container.name}")
        probes = asyncio.create_task(self._run_probes())
        try:
            return await process.wait(), started_at
        finally:
            probes.cancel()
            process.kill()

    async def _run_probes(self) -> None:
        """The start hook, then the probes, for as long as this run lasts."""
        target = self._target()
        if hook := self.container.lifecycle.post_start:
            answer = await ask(hook, target, self._context.pod.spec.termination_grace_period_seconds)
            if not answer.ok:
                self._context.warning("FailedPostStartHook", answer.message)
                await self._end_run("failed its start hook", None)
                return
        await Prober(self.container, target, self).watch()

    def on_started(self) -> None:
        self._set(replace(self.snapshot, started=True, ready=self.container.readiness_probe is None))

    def on_ready(self, ready: bool) -> None:
        self._set(replace(self.snapshot, ready=ready))

    def on_probe_failure(self, kind: str, message: str) -> None:
        self._context.warning("Unhealthy", f"{kind} probe failed: {message}")

    async def on_unhealthy(self, kind: str, probe: Probe) -> None:
        await self._end_run(f"failed {kind.lower()} probe", probe.termination_grace_period_seconds)

    async def _end_run(self, why: str, grace_s: float | None) -> None:
        """End this run; the restart policy says whether there is another."""
        if self._stopping:
            return
        self._context.normal("Killing", f"Container {self.container.name} {why}, will be restarted")
        # A task of its own: the probes' task ends with the run.
        self._ending = asyncio.create_task(self._end_process(self._grace_s() if grace_s is None else grace_s))

    # -- after a run

    def _ended(self, outcome: Exit, started_at: datetime, *, restarting: bool) -> None:
        name = self.container.name
        files = self._context.message_file(name), self._context.log_file(name, self.snapshot.restart_count)
        message = termination_message(self.container, outcome, *files)
        ended = terminated(outcome, started_at, datetime.now(UTC), message)
        self._set(self.snapshot.ended(ended, restarting=restarting, is_init=self._is_init))

    async def _pause(self, pause_s: float) -> None:
        if pause_s <= 0:
            return
        name, key = self.container.name, self._context.pod.key
        message = f"back-off {pause_s:g}s restarting failed container={name} pod={key}"
        self._context.warning("BackOff", message)
        self._waiting("CrashLoopBackOff", message)
        await asyncio.sleep(pause_s)

    # -- helpers

    async def _end_process(self, grace_s: float) -> None:
        process = self._process
        if process is None or process.has_ended:
            return
        deadline = time.monotonic() + grace_s
        if (hook := self.container.lifecycle.pre_stop) and grace_s > 0:
            answer = await ask(hook, self._target(), grace_s)
            if not answer.ok:
                self._context.warning("FailedPreStopHook", answer.message)
            deadline = max(deadline, time.monotonic() + _LEAST_GRACE_S)
        process.terminate()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), max(deadline - time.monotonic(), 0))
        process.kill()
        await process.wait()

    def _target(self) -> ProbeTarget:
        return ProbeTarget(self.container, self._context.placement.pod_ip, self.execute, self._context.deps.probe_http)

    def _grace_s(self) -> float:
        return self._context.pod.spec.termination_grace_period_seconds

    def _waiting(self, reason: str, message: str) -> None:
        self._set(self.snapshot.waiting(reason, message))

    def _set(self, snapshot: ContainerSnapshot) -> None:
        if snapshot != self.snapshot:
            self.snapshot = snapshot
            if snapshot.started:
                self._was_started.set()
            self._on_change()
