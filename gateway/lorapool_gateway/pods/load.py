"""The load of each pod: its last status, and the requests that this gateway has sent since."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from lorapool_api.wire.state import ServingStatus
from lorapool_common.backoff import Backoff
from lorapool_common.changes import Changes
from lorapool_gateway.cluster.snapshot import RuntimePod
from lorapool_gateway.routing.route import PodLoad

# How long a pod that has failed comes after the others; doubled with each failure in a row.
SUSPECT_S: Final = 10.0
_SUSPECT_MOST_S: Final = 60.0


@dataclass(frozen=True)
class LastStatus:
    """A pod's last status, and how many requests from here it had then; `is_full`: it has refused one since."""

    status: ServingStatus
    in_flight: int
    is_full: bool = False


@dataclass(frozen=True)
class _Failures:
    """For how long a pod comes after the others, doubled with each failure in a row, and until when it does now."""

    backoff: Backoff
    until_s: float


class Loads:
    """The load of each pod. A pod that is not reached or has not answered yet takes no requests."""

    def __init__(self, changes: Changes, clock: Callable[[], float] = time.monotonic) -> None:
        self.changes = changes
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
        # One runs and the others wait, whatever ran at its last status.
        room = status.max_pending + max(1, status.running)
        is_full = last.is_full or status.pending >= status.max_pending or queue >= room
        return PodLoad(pod, status.tiers, queue, is_full, self._is_suspect(pod), status.asleep)

    def _is_suspect(self, pod: RuntimePod) -> bool:
        failures = self._failures.get(pod.uid)
        return failures is not None and self._clock() < failures.until_s

    def update(self, pod: RuntimePod, status: ServingStatus) -> None:
        """Take a pod's status."""
        before = self._statuses.get(pod.uid)
        self._statuses[pod.uid] = LastStatus(status, self._in_flight.get(pod.uid, 0))
        if before is None or (before.status.ready, before.status.tiers) != (status.ready, status.tiers):
            self.changes.note()

    def last_status(self, pod: RuntimePod) -> ServingStatus | None:
        """The pod's last status; None where there is none."""
        last = self._statuses.get(pod.uid)
        return None if last is None else last.status

    def mark_unreachable(self, pod: RuntimePod) -> None:
        """The pod does not answer: it takes no requests until its next status."""
        self._statuses.pop(pod.uid, None)

    def mark_full(self, pod: RuntimePod) -> None:
        """The pod has refused a request for want of room: it gets no other until its next status."""
        last = self._statuses.get(pod.uid)
        if last:
            self._statuses[pod.uid] = replace(last, is_full=True)

    def mark_failed(self, pod: RuntimePod) -> None:
        """The pod broke on a request: others go first for a while."""
        before = self._failures.get(pod.uid)
        backoff = before.backoff if before else Backoff(SUSPECT_S, _SUSPECT_MOST_S, jitter=0.0)
        self._failures[pod.uid] = _Failures(backoff, self._clock() + backoff.next())

    def mark_succeeded(self, pod: RuntimePod) -> None:
        """The pod has made what it was asked for."""
        self._failures.pop(pod.uid, None)

    def forget(self, pod: RuntimePod) -> None:
        """The pod is no more."""
        self.mark_unreachable(pod)
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
