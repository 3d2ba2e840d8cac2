"""One pod that serves a trace of requests in the order of some policy: pure, the clock is a number."""

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from lorapool_runtime.queue.policy import DEFAULT_RULES, StackId, TimeSlice, pick

# Requests come in bursts of so many on average, so many seconds apart.
_BURST: Final = 6
_APART_S: Final = 3.0

# The API's default for a pod.
MAX_PENDING: Final = 64


@dataclass(frozen=True)
class Arrival:
    """A request for an adapter, at a time of the simulated clock."""

    arrived_s: float
    adapter: str
    shape: None = None
    images: int = 1

    @property
    def stack_id(self) -> StackId:
        return ((self.adapter, 1.0),)


Pick = Callable[[Sequence[Arrival], TimeSlice, float], Arrival]


@dataclass(frozen=True)
class Policy:
    """Which request comes next, and what going from one adapter to another costs."""

    name: str
    pick: Pick
    switch_s: float


@dataclass(frozen=True)
class Served:
    """Attributes:
    waits_s: of each request that was served.
    refused: requests that came while the queue was full.
    """

    switches: int
    refused: int
    waits_s: tuple[float, ...]


def first_come(waiting: Sequence[Arrival], current: TimeSlice, now_s: float) -> Arrival:
    return waiting[0]


def lorapool(waiting: Sequence[Arrival], current: TimeSlice, now_s: float) -> Arrival:
    """The runtime's own choice, with its usual rules."""
    return pick(waiting, current, now_s, DEFAULT_RULES)


def trace(rate: float, duration_s: float, adapters: int, seed: int) -> list[Arrival]:
    """Bursts at random times; the n-th adapter is wanted 1/n as often as the first (Zipf).

    Args:
        rate: requests in a second, on average.
    """
    rng = random.Random(seed)  # noqa: S311 -- a trace, not a secret
    names = [f"adapter-{i}" for i in range(1, adapters + 1)]
    weights = list(accumulate(1 / i for i in range(1, adapters + 1)))
    arrivals, burst_s = [], 0.0
    while (burst_s := burst_s + rng.expovariate(rate / _BURST)) < duration_s:
        at_s = burst_s
        while True:
            arrivals.append(Arrival(at_s, rng.choices(names, cum_weights=weights)[0]))
            if rng.random() < 1 / _BURST:
                break
            at_s += rng.expovariate(1 / _APART_S)
    return sorted(arrivals, key=lambda arrival: arrival.arrived_s)


def simulate(arrivals: Sequence[Arrival], policy: Policy, inference_s: float) -> Served:
    """Serve them one after the other; those that come while so many wait are refused, as a pod does."""
    now_s, switches, refused = 0.0, 0, 0
    current = TimeSlice((), 0.0)
    coming = deque(arrivals)
    queue: list[Arrival] = []
    waits = []
    while queue or coming:
        if not queue:
            now_s = max(now_s, coming[0].arrived_s)
        while coming and coming[0].arrived_s <= now_s:
            request = coming.popleft()
            if len(queue) < MAX_PENDING:
                queue.append(request)
            else:
                refused += 1
        served = policy.pick(queue, current, now_s)
        queue.remove(served)
        if served.stack_id != current.stack_id:
            current = TimeSlice(served.stack_id, now_s, policy.switch_s)
            switches += 1
            now_s += policy.switch_s
        waits.append(now_s - served.arrived_s)
        now_s += inference_s
    return Served(switches, refused, tuple(waits))
