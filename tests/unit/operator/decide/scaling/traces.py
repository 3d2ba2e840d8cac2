"""A pool second by second on a simulated clock: requests come, pods start, work and go."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from lorapool_api.kinds.pods.scaling import Scaling
from lorapool_operator.decide.scaling.replicas import begun, decided
from lorapool_operator.decide.scaling.requests import PoolRequests


def scaling(**fields: Any) -> Scaling:
    return Scaling.model_validate({"max_replicas": 4} | fields)


@dataclass
class SimulatedPod:
    """Works on one request at a time. It ends when it has nothing to do."""

    ready_s: float
    free_s: float = 0.0
    terminating: bool = False

    def is_busy(self, now_s: float) -> bool:
        return self.free_s > now_s


@dataclass
class Trace:
    """What happened.

    Attributes:
        replicas: the decision of each second.
        waits_s: of each request, from its coming to a pod that works on it.
        pod_s: seconds that pods were there.
        cold_starts: pods that were started.
    """

    replicas: list[int] = field(default_factory=list)
    waits_s: list[float] = field(default_factory=list)
    pod_s: int = 0
    cold_starts: int = 0

    def wait_s(self, share: float) -> float:
        """So long at most waited that share of the requests."""
        return sorted(self.waits_s)[int(share * (len(self.waits_s) - 1))]


def run(
    spec: Scaling,
    arrivals: Iterable[float],
    until_s: int,
    *,
    image_s: float = 10.0,
    cold_s: float = 25.0,
    pods: int = 1,
) -> Trace:
    """What becomes of the requests that come at these times, in order."""
    coming, waiting, trace = deque(arrivals), deque[float](), Trace()
    running = [SimulatedPod(0.0) for _ in range(pods)]
    state = begun(spec, pods, 0.0)
    for second in range(until_s):
        now_s = float(second)
        while coming and coming[0] <= now_s:
            waiting.append(coming.popleft())
        for pod in running:
            if waiting and not pod.terminating and pod.ready_s <= now_s and not pod.is_busy(now_s):
                trace.waits_s.append(now_s - waiting.popleft())
                pod.free_s = now_s + image_s
        busy = sum(pod.is_busy(now_s) for pod in running)
        state = decided(state, spec, PoolRequests(len(waiting) + busy, is_complete=True), now_s)
        trace.replicas.append(state.replicas)
        trace.cold_starts += _match(running, state.replicas, now_s, cold_s)
        running = [pod for pod in running if not pod.terminating or pod.is_busy(now_s)]
        trace.pod_s += len(running)
    assert not waiting, "the trace ended with requests that nobody has begun"
    return trace


def _match(pods: list[SimulatedPod], replicas: int, now_s: float, cold_s: float) -> int:
    """Start what is missing, and let go what is too much: those that still load, then idle ones. How many start."""
    staying = [pod for pod in pods if not pod.terminating]
    for pod in sorted(staying, key=lambda p: (p.ready_s <= now_s, p.is_busy(now_s)))[: max(0, len(staying) - replicas)]:
        pod.terminating = True
    missing = max(0, replicas - len(staying))
    pods += [SimulatedPod(now_s + cold_s) for _ in range(missing)]
    return missing


def six_hours(random: Random) -> list[tuple[float, str]]:
    """When which adapter is asked for, as the article has it: about 130 in 6 hours, and about ten in any 2 minutes,
    with a burst now and then."""
    popularity = [1 / (rank + 8) for rank in range(130)]
    times = sorted(
        [random.uniform(0, 6 * 3600) for _ in range(1900)]
        + [start + random.uniform(0, 60) for start in (4000.0, 9000.0, 15000.0) for _ in range(25)]
    )
    adapters = random.choices(range(130), popularity, k=len(times))
    return [(at_s, f"adapter-{number}") for at_s, number in zip(times, adapters, strict=True)]
