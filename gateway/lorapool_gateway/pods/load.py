"""What the pods last said of themselves, and what this gateway has asked of them since."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final, Protocol

import structlog

from lorapool_api.wire.state import ServingStatus
from lorapool_gateway.cluster.directory import Directory, Signal
from lorapool_gateway.cluster.snapshot import RuntimePod
from lorapool_gateway.pods.client import PodError
from lorapool_gateway.routing.route import PodLoad

log = structlog.get_logger(__name__)

POLL_S: Final = 1.0
# However often it is poked: what a pod says costs both sides more than it is worth when nothing has moved since.
POLL_AT_MOST_EVERY_S: Final = 0.1
# How long a pod that has failed comes after the others; doubled with each failure in a row.
SUSPECT_S: Final = 10.0
_SUSPECT_MOST_S: Final = 60.0


class Statuses(Protocol):
    """Asks pods how they are."""

    async def status(self, pod: RuntimePod, known: ServingStatus | None) -> ServingStatus: ...


@dataclass(frozen=True)
class LastStatus:
    """A pod's last status, and how many requests from here it had then; `is_full`: it has refused one since."""

    status: ServingStatus
    in_flight: int
    is_full: bool = False


@dataclass(frozen=True)
class _Failures:
    """How often a pod has failed in a row, and until when it comes after the others."""

    count: int
    until_s: float


class Loads:
    """The load of each pod. A pod that is lost or has not spoken yet takes no requests."""

    def __init__(self, changed: Signal, clock: Callable[[], float] = time.monotonic) -> None:
        self.changed = changed
        self._clock = clock
        self._statuses: dict[str, LastStatus] = {}
        self._failures: dict[str, _Failures] = {}
        self._in_flight: defaultdict[str, int] = defaultdict(int)

    def of(self, pod: RuntimePod) -> PodLoad | None:
        """The pod's load, or None while it takes no requests."""
        last = self._statuses.get(pod.uid)
        if last is None or not last.status.ready:
            return None
        status, in_flight = last.status, self._in_flight.get(pod.uid, 0)
        queue = max(in_flight, status.pending + status.running + in_flight - last.in_flight)
        # One runs and the others wait, whatever ran when it last spoke.
        room = status.max_pending + max(1, status.running)
        is_full = last.is_full or status.pending >= status.max_pending or queue >= room
        return PodLoad(pod, status.tiers, queue, is_full, self._is_suspect(pod))

    def _is_suspect(self, pod: RuntimePod) -> bool:
        failures = self._failures.get(pod.uid)
        return failures is not None and self._clock() < failures.until_s

    def heard(self, pod: RuntimePod, status: ServingStatus) -> None:
        """Take what a pod says of itself."""
        before = self._statuses.get(pod.uid)
        self._statuses[pod.uid] = LastStatus(status, self._in_flight.get(pod.uid, 0))
        if before is None or (before.status.ready, before.status.tiers) != (status.ready, status.tiers):
            self.changed.fire()

    def known(self, pod: RuntimePod) -> ServingStatus | None:
        """What the pod said last."""
        last = self._statuses.get(pod.uid)
        return None if last is None else last.status

    def lost(self, pod: RuntimePod) -> None:
        """The pod does not answer: it takes no requests until it speaks again."""
        self._statuses.pop(pod.uid, None)

    def full(self, pod: RuntimePod) -> None:
        """The pod has no room, whatever it said before: it is not asked until it speaks again."""
        last = self._statuses.get(pod.uid)
        if last:
            self._statuses[pod.uid] = replace(last, is_full=True)

    def failed(self, pod: RuntimePod) -> None:
        """The pod broke on a request: others go first for a while."""
        before = self._failures.get(pod.uid)
        count = before.count + 1 if before else 1
        lasts_s = min(_SUSPECT_MOST_S, SUSPECT_S * 2.0 ** min(count - 1, 8))
        self._failures[pod.uid] = _Failures(count, self._clock() + lasts_s)

    def succeeded(self, pod: RuntimePod) -> None:
        """The pod has made what it was asked for."""
        self._failures.pop(pod.uid, None)

    def forget(self, pod: RuntimePod) -> None:
        """The pod is no more."""
        self.lost(pod)
        self._failures.pop(pod.uid, None)

    @contextmanager
    def request(self, pod: RuntimePod) -> Iterator[None]:
        """Count a request to the pod while it lasts."""
        self._in_flight[pod.uid] += 1
        try:
            yield
        finally:
            self._in_flight[pod.uid] -= 1
            if not self._in_flight[pod.uid]:
                del self._in_flight[pod.uid]


class Poller:
    """Asks every pod of the directory for its status once a second, and soon when poked."""

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
                changed = self._directory.changed.next()
                self._match(group)
                await changed.wait()

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
            self._loads.heard(pod, await self._client.status(pod, self._loads.known(pod)))
        except PodError as error:
            log.debug("pod does not answer", pod=pod.name, error=str(error))
            self._loads.lost(pod)
