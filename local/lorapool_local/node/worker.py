"""One pod of the node, from its binding to its end: volumes, containers, status, deletion."""

import asyncio
import shutil
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import structlog

from lorapool_common.backoff import Backoff
from lorapool_common.kube.errors import ApiError
from lorapool_common.kube.resources import PODS
from lorapool_local.node.containers.container import ContainerRunner
from lorapool_local.node.containers.context import PodContext
from lorapool_local.node.containers.deps import NodeDeps
from lorapool_local.node.containers.restarts import restart_policy
from lorapool_local.node.reports.previous_run import previous_run
from lorapool_local.node.reports.snapshot import ContainerTerminated, PodSnapshot
from lorapool_local.node.reports.status_writer import StatusWriter
from lorapool_local.node.spec.container import Container
from lorapool_local.node.spec.environment import Placement
from lorapool_local.node.spec.pod import Pod
from lorapool_local.node.volumes.volumes import PodVolumes, VolumeError

log = structlog.get_logger(__name__)

_RETRY_S = (0.1, 5.0)
_SIZES_EVERY_S = 10.0


class PodWorker:
    """Runs one pod. `update` and `gone` tell it what the apiserver says; `run` does everything else."""

    def __init__(self, deps: NodeDeps, pod: Pod) -> None:
        self._deps = deps
        self._folder = deps.pods_dir / pod.uid
        self._folder.mkdir(parents=True, exist_ok=True)
        self._placement = Placement(
            # After a restart of the plane the address of before, if it can be had.
            pod_ip=deps.addresses.take(pod.status.pod_ip),
            host_ip=deps.host_ip,
            node_name=deps.config.name,
            allocatable=deps.allocatable,
        )
        self._volumes = PodVolumes(pod, self._folder, deps.kube, deps.references, self._placement)
        self._start_time = pod.status.start_time or datetime.now(UTC)
        self._failure: tuple[str, str] | None = None
        self._status = StatusWriter(deps.kube, pod, self._snapshot)
        self._ending = asyncio.Event()
        self._is_gone = False
        self._reporting: asyncio.Task[None] | None = None
        context = PodContext(pod, self._placement, self._volumes, self._folder, deps)
        self._init_containers = [self._runner(c, context, is_init=True) for c in pod.spec.init_containers]
        self._containers = [self._runner(c, context, is_init=False) for c in pod.spec.containers]

    @property
    def pod(self) -> Pod:
        """The pod, with the status that was last written."""
        return self._status.pod

    def update(self, pod: Pod) -> None:
        """A newer version of the pod."""
        before = self.pod.metadata
        self._status.update(pod)
        if (before.labels, before.annotations) != (pod.metadata.labels, pod.metadata.annotations):
            self._volumes.update(self.pod)
        grace_s = pod.metadata.deletion_grace_period_seconds
        if pod.metadata.deletion_timestamp is not None and grace_s is not None:
            if self._ending.is_set() and grace_s < (before.deletion_grace_period_seconds or 0):
                asyncio.get_running_loop().call_later(grace_s, self.kill)
            self._ending.set()

    def gone(self) -> None:
        """The pod is no longer in the API: someone deleted it by force."""
        self._is_gone = True
        self.kill()
        self._ending.set()

    def kill(self) -> None:
        for runner in self._all():
            runner.kill()

    async def run(self) -> None:
        """Until the pod is deleted. Leaves nothing of it on this machine."""
        self._reporting = reporting = asyncio.create_task(self._status.run())
        living = asyncio.create_task(self._live())
        try:
            await self._until_ending(living)
            await self._stop_containers(self._grace_s())
            living.cancel()
            reporting.cancel()
            await asyncio.gather(living, reporting, return_exceptions=True)
            await self._finish_deletion()
        finally:
            living.cancel()
            reporting.cancel()
            self.kill()
            self._deps.addresses.give_back(self._placement.pod_ip)
        self._deps.events.forget(self.pod)
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    async def stop(self, patience_s: float) -> None:
        """End the containers because the node ends; the pod stays in the API as it was, and runs again later."""
        if self._reporting is not None:
            self._reporting.cancel()
        await self._stop_containers(min(self._grace_s(), patience_s))

    def container(self, name: str) -> ContainerRunner | None:
        return next((runner for runner in self._all() if runner.container.name == name), None)

    @property
    def folder(self) -> Path:
        return self._folder

    # -- life

    async def _until_ending(self, living: asyncio.Task[None]) -> None:
        ending = asyncio.create_task(self._ending.wait())
        try:
            await asyncio.wait({living, ending}, return_when=asyncio.FIRST_COMPLETED)
            if living.done():
                living.result()
            # A pod that has run to its end waits to be deleted.
            await ending
        finally:
            ending.cancel()

    async def _live(self) -> None:
        if self.pod.is_finished or self.pod.metadata.deletion_timestamp is not None:
            return
        async with self._volumes.references_held(), asyncio.TaskGroup() as tasks:
            await self._make_volumes()
            background = [
                tasks.create_task(self._volumes.keep_fresh()),
                tasks.create_task(self._watch_sizes()),
            ]
            if await self._initialize(tasks, background):
                await asyncio.gather(*(runner.run() for runner in self._containers))
                await self._stop_all(self._sidecars(), self.pod.spec.termination_grace_period_seconds)
            for task in background:
                task.cancel()

    async def _make_volumes(self) -> None:
        backoff = Backoff(*_RETRY_S)
        while True:
            try:
                return await self._volumes.make()
            except VolumeError as error:
                self._deps.events.warning(self.pod, "FailedMount", str(error))
                await asyncio.sleep(backoff.next())

    async def _watch_sizes(self) -> None:
        """Evict the pod when a volume grows beyond its limit."""
        if not self._volumes.size_limits():
            return
        while self._failure is None:
            await asyncio.sleep(_SIZES_EVERY_S)
            if (problem := await asyncio.to_thread(self._volumes.over_limit)) is not None:
                self._failure = ("Evicted", problem)
                self._deps.events.warning(self.pod, "Evicted", problem)
                await self._stop_containers(0)

    async def _initialize(self, tasks: asyncio.TaskGroup, background: list[asyncio.Task[None]]) -> bool:
        """Run the init containers one after the other; False when one failed for good."""
        for runner in self._init_containers:
            if runner.snapshot.is_sidecar:
                background.append(tasks.create_task(runner.run()))
                await runner.wait_until_started()
                continue
            await runner.run()
            state = runner.snapshot.state
            if not isinstance(state, ContainerTerminated) or state.exit_code != 0:
                return False
        return True

    # -- deletion

    def _grace_s(self) -> float:
        asked = self.pod.metadata.deletion_grace_period_seconds
        return self.pod.spec.termination_grace_period_seconds if asked is None else asked

    async def _stop_containers(self, grace_s: float) -> None:
        """Sidecars are stopped last: the other containers may need them until they end."""
        await self._stop_all(
            [*self._containers, *(r for r in self._init_containers if not r.snapshot.is_sidecar)], grace_s
        )
        await self._stop_all(self._sidecars(), grace_s)

    async def _stop_all(self, runners: Iterable[ContainerRunner], grace_s: float) -> None:
        await asyncio.gather(*(runner.stop(grace_s) for runner in runners))

    async def _finish_deletion(self) -> None:
        """Say how the containers ended, then take the object away: only this very one, not its successor."""
        backoff = Backoff(*_RETRY_S)
        meta, options = self.pod.metadata, {"gracePeriodSeconds": 0, "preconditions": {"uid": self.pod.uid}}
        while not self._is_gone:
            try:
                await self._status.write()
                await self._deps.kube.delete(PODS, meta.namespace, meta.name, options)
            except ApiError as error:
                if error.is_gone or error.is_conflict:
                    return
                log.warning("pod not deleted yet", pod=self.pod.key, error=str(error))
                await asyncio.sleep(backoff.next())
            else:
                return

    # -- status

    def _snapshot(self) -> PodSnapshot:
        return PodSnapshot(
            init_containers=tuple(runner.snapshot for runner in self._init_containers),
            containers=tuple(runner.snapshot for runner in self._containers),
            pod_ip=self._placement.pod_ip,
            host_ip=self._placement.host_ip,
            start_time=self._start_time,
            failure=self._failure,
        )

    # -- helpers

    def _runner(self, container: Container, context: PodContext, *, is_init: bool) -> ContainerRunner:
        policy = restart_policy(context.pod.spec.restart_policy, container.restart_policy, is_init=is_init)
        old = context.pod.status
        statuses = old.init_container_statuses if is_init else old.container_statuses
        previous = previous_run(container.name, statuses, policy)
        return ContainerRunner(
            container,
            context,
            self._status.changed,
            restart_policy=policy,
            previous=previous,
            is_init=is_init,
            is_sidecar=is_init and policy == "Always",
        )

    def _sidecars(self) -> list[ContainerRunner]:
        return [runner for runner in reversed(self._init_containers) if runner.snapshot.is_sidecar]

    def _all(self) -> list[ContainerRunner]:
        return [*self._init_containers, *self._containers]
