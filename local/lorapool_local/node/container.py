"""One container of a pod: started, probed, started again by its pod's policy, and stopped."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import structlog

from lorapool_local.kube import KubeError
from lorapool_local.node.back_off import BackOff
from lorapool_local.node.environment import ConfigError, Placement, command_line, environment, references
from lorapool_local.node.history import Past
from lorapool_local.node.launch import base_environment, container_spec
from lorapool_local.node.logs import LogWriter, last_lines, log_file
from lorapool_local.node.pod import Container, Pod, Probe
from lorapool_local.node.probes import Target, ask, watch_probe
from lorapool_local.node.process import ContainerProcess, ContainerSpec, Exit, Mode
from lorapool_local.node.services import NodeServices
from lorapool_local.node.status import COMPLETED, ERROR, ContainerView, Running, Terminated, Waiting
from lorapool_local.node.volumes import PodVolumes, VolumeError
from lorapool_local.sandbox.rootfs import Mount

_log = structlog.get_logger()

_MAX_MESSAGE = 4096
# What a container gets after its hook has used up the whole grace period, as on a real node.
_LEAST_GRACE_S = 2.0


@dataclass(frozen=True)
class PodContext:
    """What a container knows of its pod."""

    pod: Pod
    placement: Placement
    volumes: PodVolumes
    folder: Path
    services: NodeServices


class ContainerRunner:
    """Runs one container; `view` is what to report of it, `on_change` is called when that has changed."""

    def __init__(
        self,
        container: Container,
        context: PodContext,
        on_change: Callable[[], None],
        *,
        restart_policy: str,
        past: Past,
        is_init: bool,
        is_sidecar: bool = False,
    ) -> None:
        self.container = container
        self.view = ContainerView(
            name=container.name,
            image=container.image,
            state=past.ended if past.is_final and past.ended else Waiting("PodInitializing"),
            last_state=None if past.is_final else past.ended,
            restart_count=past.restart_count,
            is_sidecar=is_sidecar,
        )
        self._context = context
        self._on_change = on_change
        self._restart_policy = restart_policy
        self._is_init = is_init
        self._back_off = BackOff(context.services.config.back_off)
        self._process: ContainerProcess | None = None
        self._stopping = False
        self._stop_reason = ""
        self._is_over = past.is_final
        self._has_run = past.ended is not None or past.restart_count > 0
        self._was_started = asyncio.Event()
        self._environment: dict[str, str] = {}
        self._ending: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Run until the container is not to be started again: its last state is then `Terminated`."""
        while not (self._stopping or self._is_over):
            spec = await self._specification()
            outcome, started_at = await self._run_once(spec)
            if not self._will_restart(outcome):
                self._ended(outcome, started_at, restarting=False)
                return
            self._ended(outcome, started_at, restarting=True)
            await self._pause(self._back_off.after_run(time.time() - started_at.timestamp()))

    async def wait_until_started(self) -> None:
        """Running, and past its startup probe."""
        await self._was_started.wait()

    async def stop(self, grace_s: float) -> None:
        """Hook, SIGTERM, and SIGKILL when the grace period is over. The container does not start again."""
        self._stopping = True
        await self._end_process(grace_s)

    def kill(self) -> None:
        """At once."""
        self._stopping = True
        if self._process is not None:
            self._process.kill()

    async def execute(self, command: tuple[str, ...]) -> tuple[int, str]:
        """Run a command inside the container; (exit code, output)."""
        process = self._process
        if process is None or process.pid is None or process.has_ended:
            return 1, "the container is not running"
        enter = _enter_command(self._context.services.mode, process.pid)
        child = await asyncio.create_subprocess_exec(
            *enter,
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=self._environment,
        )
        try:
            output, _ = await child.communicate()
        except asyncio.CancelledError:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()
            raise
        return child.returncode or 0, output.decode(errors="replace")

    # -- before a start

    async def _specification(self) -> ContainerSpec:
        """Wait until the image is there and everything that the container refers to."""
        while True:
            command = self._context.services.images.command(self.container.image)
            if command is None:
                await self._wait_for_image()
                continue
            try:
                return await self._build_specification(command)
            except (ConfigError, VolumeError, KubeError) as failure:
                self._context.services.events.warning(self._context.pod, "Failed", f"Error: {failure}")
                self._waiting("CreateContainerConfigError", str(failure))
                await asyncio.sleep(1.0)

    async def _wait_for_image(self) -> None:
        pod, image = self._context.pod, self.container.image
        message = f'Failed to pull image "{image}": this node runs only images of lorapool, as processes'
        self._context.services.events.warning(pod, "Failed", message)
        self._waiting("ErrImagePull", message)
        pause_s = self._back_off.after_failed_start()
        await asyncio.sleep(min(1.0, pause_s))
        self._waiting("ImagePullBackOff", f'Back-off pulling image "{image}": {message}')
        await asyncio.sleep(pause_s)

    async def _build_specification(self, image_command: list[str]) -> ContainerSpec:
        context, services = self._context, self._context.services
        objects = await self._referenced_objects()
        base = base_environment(context.pod, self.container, services.api_host, services.api_port)
        env = environment(
            self.container, context.pod, context.placement, lambda kind, name: objects.get((kind, name)), base
        )
        message_file = self._message_file()
        message_file.parent.mkdir(parents=True, exist_ok=True)
        message_file.write_bytes(b"")
        mounts = context.volumes.mounts(self.container)
        mounts.append(Mount(str(message_file), self.container.termination_message_path, read_only=False))
        spec = container_spec(
            context.pod,
            self.container,
            mode=services.mode,
            argv=command_line(self.container, image_command, env),
            env=env,
            mounts=mounts,
            pod_dir=context.folder,
            state_dir=services.state_dir,
        )
        self._environment = dict(spec.env)
        return spec

    async def _referenced_objects(self) -> dict[tuple[str, str], dict[str, object]]:
        found = {}
        namespace = self._context.pod.metadata.namespace
        for kind, name in references(self.container):
            resource = "secrets" if kind == "Secret" else "configmaps"
            try:
                path = f"/api/v1/namespaces/{namespace}/{resource}/{name}"
                found[kind, name] = await self._context.services.kube.get(path)
            except KubeError as failure:
                if failure.code != 404:
                    raise
        return found

    # -- one run

    async def _run_once(self, spec: ContainerSpec) -> tuple[Exit, datetime]:
        count = self.view.restart_count + 1 if self._has_run else 0
        self._has_run = True
        log = LogWriter(log_file(self._context.folder, self.container.name, count))
        _remove_old_logs(self._context.folder, self.container.name, count)
        started_at = datetime.now(UTC)
        self._process = process = await ContainerProcess.start(spec, log)
        if self._stopping:
            process.kill()
        self._set(
            replace(
                self.view,
                state=Running(started_at),
                restart_count=count,
                container_id=f"lorapool://{self._context.pod.uid}/{self.container.name}/{count}",
                started=self.container.startup_probe is None,
                ready=self.container.startup_probe is None and self.container.readiness_probe is None,
                is_restarting=False,
            )
        )
        self._context.services.events.normal(self._context.pod, "Started", f"Started container {self.container.name}")
        probes = asyncio.create_task(self._probe())
        try:
            return await process.wait(), started_at
        finally:
            probes.cancel()
            process.kill()

    async def _probe(self) -> None:
        target = self._target()
        if hook := self.container.lifecycle.post_start:
            answer = await ask(hook, target, self._context.pod.spec.termination_grace_period_seconds)
            if not answer.ok:
                await self._kill_unhealthy("FailedPostStartHook", answer.message, None)
                return
        async with asyncio.TaskGroup() as probes:
            if self.container.startup_probe is not None:
                await self._wait_for_startup(probes, self.container.startup_probe, target)
            if probe := self.container.readiness_probe:
                probes.create_task(self._watch_readiness(probe, target))
            if probe := self.container.liveness_probe:
                probes.create_task(self._watch_liveness(probe, target))

    async def _wait_for_startup(self, probes: asyncio.TaskGroup, probe: Probe, target: Target) -> None:
        verdict: asyncio.Future[tuple[bool, str]] = asyncio.get_running_loop().create_future()

        def decide(ok: bool, message: str) -> None:
            if not verdict.done():
                verdict.set_result((ok, message))

        watching = probes.create_task(
            watch_probe(probe, target, on_verdict=decide, on_failure=lambda text: self._unhealthy("Startup", text))
        )
        ok, message = await verdict
        watching.cancel()
        if ok:
            self._set(replace(self.view, started=True, ready=self.container.readiness_probe is None))
        else:
            await self._kill_unhealthy("Startup", message, probe)

    async def _watch_readiness(self, probe: Probe, target: Target) -> None:
        await watch_probe(
            probe,
            target,
            on_verdict=lambda ok, _: self._set(replace(self.view, ready=ok)),
            on_failure=lambda text: self._unhealthy("Readiness", text),
        )

    async def _watch_liveness(self, probe: Probe, target: Target) -> None:
        failed: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def decide(ok: bool, message: str) -> None:
            if not ok and not failed.done():
                failed.set_result(message)

        watching = asyncio.create_task(
            watch_probe(probe, target, on_verdict=decide, on_failure=lambda text: self._unhealthy("Liveness", text))
        )
        try:
            message = await failed
        finally:
            watching.cancel()
        await self._kill_unhealthy("Liveness", message, probe)

    def _unhealthy(self, kind: str, message: str) -> None:
        text = f"{kind} probe failed: {message}"
        self._context.services.events.warning(self._context.pod, "Unhealthy", text)

    async def _kill_unhealthy(self, kind: str, message: str, probe: Probe | None) -> None:
        if self._stopping:
            return
        self._stop_reason = f"{kind} failed: {message}"
        text = f"Container {self.container.name} failed {kind.lower()} probe, will be restarted"
        self._context.services.events.normal(self._context.pod, "Killing", text)
        grace_s = probe.termination_grace_period_seconds if probe is not None else None
        if grace_s is None:
            grace_s = self._context.pod.spec.termination_grace_period_seconds
        # Not awaited by the probes' task: that ends with the container.
        self._ending = asyncio.create_task(self._end_process(grace_s))

    # -- after a run

    def _will_restart(self, outcome: Exit) -> bool:
        if self._stopping:
            return False
        return self._restart_policy == "Always" or (
            self._restart_policy == "OnFailure" and (outcome.shown_code != 0 or bool(outcome.error))
        )

    def _ended(self, outcome: Exit, started_at: datetime, *, restarting: bool) -> None:
        ended = Terminated(
            exit_code=outcome.shown_code,
            reason="StartError" if outcome.error else COMPLETED if outcome.shown_code == 0 else ERROR,
            started_at=started_at,
            finished_at=datetime.now(UTC),
            signal=outcome.signal,
            message=outcome.error or self._termination_message(outcome),
        )
        self._set(
            replace(
                self.view,
                state=ended,
                last_state=ended if restarting else self.view.last_state,
                started=False,
                # An init container that has done its work counts as ready.
                ready=ended.exit_code == 0 and self._is_init and not restarting,
                is_restarting=restarting,
            )
        )

    async def _pause(self, pause_s: float) -> None:
        if pause_s <= 0:
            return
        name, key = self.container.name, self._context.pod.key
        message = f"back-off {pause_s:g}s restarting failed container={name} pod={key}"
        self._context.services.events.warning(self._context.pod, "BackOff", message)
        self._waiting("CrashLoopBackOff", message)
        await asyncio.sleep(pause_s)

    def _termination_message(self, outcome: Exit) -> str:
        with contextlib.suppress(OSError):
            text = self._message_file().read_bytes()[:_MAX_MESSAGE].decode(errors="replace")
            if text:
                return text
        if self.container.termination_message_policy == "FallbackToLogsOnError" and outcome.shown_code != 0:
            return last_lines(log_file(self._context.folder, self.container.name, self.view.restart_count))
        return ""

    # -- small things

    async def _end_process(self, grace_s: float) -> None:
        process = self._process
        if process is None or process.has_ended:
            return
        deadline = time.monotonic() + grace_s
        if (hook := self.container.lifecycle.pre_stop) and grace_s > 0:
            answer = await ask(hook, self._target(), grace_s)
            if not answer.ok:
                self._context.services.events.warning(self._context.pod, "FailedPreStopHook", answer.message)
            deadline = max(deadline, time.monotonic() + _LEAST_GRACE_S)
        process.terminate()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), max(deadline - time.monotonic(), 0))
        process.kill()
        await process.wait()

    def _target(self) -> Target:
        return Target(self.container, self._context.placement.pod_ip, self.execute, self._context.services.probe_http)

    def _message_file(self) -> Path:
        return self._context.folder / "messages" / self.container.name

    def _waiting(self, reason: str, message: str) -> None:
        self._set(replace(self.view, state=Waiting(reason, message), started=False, ready=False))

    def _set(self, view: ContainerView) -> None:
        if view != self.view:
            self.view = view
            if view.started:
                self._was_started.set()
            self._on_change()


def _enter_command(mode: Mode, pid: int) -> list[str]:
    """Runs what follows inside the namespaces of a process."""
    if mode is Mode.FOLDERS:
        return []
    user = ["--user", "--preserve-credentials"] if mode is Mode.USER else []
    return ["nsenter", f"--target={pid}", *user, "--mount", "--pid", "--uts", "--ipc", "--"]


def _remove_old_logs(folder: Path, container: str, restart_count: int) -> None:
    """Keep this run's log and the one before it, for `kubectl logs --previous`."""
    for path in (folder / "logs" / container).glob("*.log*"):
        number = path.name.split(".")[0]
        if number.isdigit() and int(number) < restart_count - 1:
            path.unlink(missing_ok=True)
