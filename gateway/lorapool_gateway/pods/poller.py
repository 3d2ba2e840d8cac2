"""Asks the pods for their status, each of them once a second."""

import asyncio
from typing import Final, Protocol

import structlog

from lorapool_api.wire.state import ServingStatus
from lorapool_gateway.cluster.directory import Directory
from lorapool_gateway.cluster.snapshot import RuntimePod
from lorapool_gateway.pods.client import PodError
from lorapool_gateway.pods.load import Loads

log = structlog.get_logger(__name__)

POLL_S: Final = 1.0
# A status costs both sides more than it is worth where nothing has moved since, so a refresh waits as long.
POLL_AT_MOST_EVERY_S: Final = 0.1


class Statuses(Protocol):
    """Asks pods for their status. Raises: PodError."""

    async def status(self, pod: RuntimePod, known: ServingStatus | None) -> ServingStatus: ...


class Poller:
    """Asks every pod of the directory for its status once a second, and soon after a refresh."""

    def __init__(self, directory: Directory, loads: Loads, pods: Statuses) -> None:
        self._directory = directory
        self._loads = loads
        self._client = pods
        self._tasks: dict[str, tuple[RuntimePod, asyncio.Task[None]]] = {}
        self._refreshes: dict[str, asyncio.Event] = {}

    async def run(self) -> None:
        """Follow the directory: one task for each pod that it knows."""
        async with asyncio.TaskGroup() as group:
            while True:
                seen = self._directory.changes.version
                self._match(group)
                await self._directory.changes.beyond(seen)

    def refresh(self, pod: RuntimePod) -> None:
        """Ask this pod again soon: it has just answered a request, so its status is old."""
        if pod.uid in self._refreshes:
            self._refreshes[pod.uid].set()

    def _match(self, group: asyncio.TaskGroup) -> None:
        pods = self._directory.snapshot().pods
        for uid, (pod, task) in list(self._tasks.items()):
            if pods.get(uid) != pod:
                task.cancel()
                self._loads.forget(pod)
                del self._tasks[uid], self._refreshes[uid]
        for uid, pod in pods.items():
            if uid not in self._tasks:
                asked = self._refreshes[uid] = asyncio.Event()
                self._tasks[uid] = pod, group.create_task(self._follow(pod, asked), name=f"poll {pod.name}")

    async def _follow(self, pod: RuntimePod, refresh: asyncio.Event) -> None:
        while True:
            refresh.clear()
            await self._ask(pod)
            await asyncio.sleep(POLL_AT_MOST_EVERY_S)
            try:
                async with asyncio.timeout(POLL_S - POLL_AT_MOST_EVERY_S):
                    await refresh.wait()
            except TimeoutError:
                continue

    async def _ask(self, pod: RuntimePod) -> None:
        try:
            self._loads.update(pod, await self._client.status(pod, self._loads.last_status(pod)))
        except PodError as error:
            log.debug("pod does not answer", pod=pod.name, error=str(error))
            self._loads.mark_unreachable(pod)
