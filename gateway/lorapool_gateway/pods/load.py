"""The load of each pod: its last status, and the requests that this gateway has sent since."""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from lorapool_api.wire.state import Backlog, ServingStatus
from lorapool_common.backoff import Backoff
from lorapool_common.changes import Changes
from lorapool_gateway.cluster.snapshot import RuntimePod
from lorapool_gateway.routing.costs.load import NO_COSTS, USUAL_WORK, PodLoad, PodTurns, Work
from lorapool_gateway.routing.costs.model import work_s
from lorapool_gateway.routing.costs.settled import SettledCosts

# How long a pod that has failed comes after the others; doubled with each failure in a row.
SUSPECT_S: Final = 10.0
_SUSPECT_MOST_S: Final = 60.0


@dataclass(frozen=True)
class LastStatus:
    """A pod's last status, and how many requests from here it had then.

    Attributes:
        since_s: when it came.
        seen_s: until when it is known to hold: nothing else was told since.
        is_full: the pod has refused a request since.
    """

    status: ServingStatus
    in_flight: int
    since_s: float
    seen_s: float
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
        # Of each pod: the requests that it has from here, in the order in which they went there.
        self._in_flight: defaultdict[str, dict[object, Work]] = defaultdict(dict)
        self._settled = SettledCosts()

    def of_pods(self, pods: Iterable[RuntimePod]) -> list[PodLoad]:
        """The loads of those that take requests, comparable with each other."""
        return self._settled.of([load for pod in pods if (load := self.of(pod))])

    def of(self, pod: RuntimePod) -> PodLoad | None:
        """The pod's load, or None while it takes no requests."""
        last = self._statuses.get(pod.uid)
        if last is None or not last.status.ready:
            return None
        status, now_s = last.status, self._clock()
        sent = self._in_flight.get(pod.uid, {})
        queue = max(len(sent), status.pending + status.running + len(sent) - last.in_flight)
        # One runs and the others wait, whatever ran at its last status.
        room = status.max_pending + max(1, status.running)
        is_full = last.is_full or status.pending >= status.max_pending or queue >= room
        known = PodLoad(
            pod,
            status.tiers,
            queue,
            is_full,
            self._is_suspect(pod),
            status.asleep,
            costs=status.costs or NO_COSTS,
            age_s=now_s - last.seen_s,
        )
        if status.backlog is None:
            return known
        newest = list(sent.values())[max(0, len(sent) - max(0, queue - status.pending - status.running)) :]
        return _with_backlog(known, status.backlog, now_s - last.since_s, newest)

    def _is_suspect(self, pod: RuntimePod) -> bool:
        failures = self._failures.get(pod.uid)
        return failures is not None and self._clock() < failures.until_s

    def update(self, pod: RuntimePod, status: ServingStatus) -> None:
        """Take a pod's status."""
        before, now_s = self._statuses.get(pod.uid), self._clock()
        self._statuses[pod.uid] = LastStatus(status, len(self._in_flight.get(pod.uid, ())), now_s, now_s)
        if before is None or (before.status.ready, before.status.tiers) != (status.ready, status.tiers):
            self.changes.note()

    def unchanged(self, pod: RuntimePod) -> bool:
        """The pod says that its last status holds. False: there is none."""
        last = self._statuses.get(pod.uid)
        if last is None:
            return False
        self._statuses[pod.uid] = replace(last, seen_s=self._clock(), is_full=False)
        return True

    def age_s(self, pod: RuntimePod) -> float:
        """How old what is known of the pod is; infinite where nothing is."""
        last = self._statuses.get(pod.uid)
        return math.inf if last is None else self._clock() - last.seen_s

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
    def request(self, pod: RuntimePod, work: Work = USUAL_WORK) -> Iterator[None]:
        """Count a request to the pod while it lasts."""
        token = object()
        self._in_flight[pod.uid][token] = work
        try:
            yield
        finally:
            del self._in_flight[pod.uid][token]
            if not self._in_flight[pod.uid]:
                del self._in_flight[pod.uid]


def _with_backlog(known: PodLoad, backlog: Backlog, since_s: float, newest: Sequence[Work]) -> PodLoad:
    """What the pod said of its work, less what it has done since, and the requests that it did not know of then."""
    left_s, active = max(0.0, backlog.work_s - since_s), backlog.active
    if left_s <= 0 and newest:
        active = newest[0].adapters
    sent = [(work.caller, work_s(work, known.costs)) for work in newest]
    turns = None
    if backlog.newcomer_s is not None:
        callers_s = {caller: max(0.0, wait_s - since_s) for caller, wait_s in backlog.callers_s.items()}
        turns = PodTurns(max(0.0, backlog.newcomer_s - since_s), callers_s, sent)
    return replace(known, wait_s=left_s + sum(seconds for _, seconds in sent), active=active, turns=turns)
