"""Listens to what the pods say of themselves, or asks those again that say it once."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final, Protocol

import structlog

from lorapool_api.wire.state import ServingStatus
from lorapool_gateway.cluster.directory import Directory
from lorapool_gateway.cluster.snapshot import RuntimePod
from lorapool_gateway.pods.errors import PodError
from lorapool_gateway.pods.load import Loads

log = structlog.get_logger(__name__)

POLL_S: Final = 1.0
# A status costs both sides more than it is worth where nothing has moved since, so a refresh waits as long.
POLL_AT_MOST_EVERY_S: Final = 0.1


class Statuses(Protocol):
    """Follows the status of pods, see `PodClient.follow`. Raises: PodError."""

    def follow(self, pod: RuntimePod, known: ServingStatus | None) -> AsyncGenerator[ServingStatus | None, None]: ...


class Poller:
    """Follows the status of every pod of the directory, on one connection each.

    A pod of an earlier version ends it after one answer: it is asked once a second, and soon after a refresh; and so is
    one that is not reached.
    """

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
            is_stream = await self._listen(pod)
            await asyncio.sleep(POLL_AT_MOST_EVERY_S)
            if is_stream:
                continue
            try:
                async with asyncio.timeout(POLL_S - POLL_AT_MOST_EVERY_S):
                    await refresh.wait()
            except TimeoutError:
                continue

    async def _listen(self, pod: RuntimePod) -> bool:
        """Whether the pod went on to say more, until it ended what it said."""
        times = 0
        try:
            async with aclosing(self._client.follow(pod, self._loads.last_status(pod))) as following:
                async for status in following:
                    times += 1
                    if status is not None:
                        self._loads.update(pod, status)
                    elif not self._loads.unchanged(pod):
                        break  # a request did not reach it: what it said is forgotten, and asked for anew
        except PodError as error:
            log.debug("pod does not answer", pod=pod.name, error=str(error))
            self._loads.mark_unreachable(pod)
            return False
        return times > 1
