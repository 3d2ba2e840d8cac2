"""One pod that serves a trace of requests in the order of some policy: pure, the clock is a number."""

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from lorapool_runtime.queue.policy import USUAL, Turn, Waiting, choose

# Requests come in bursts of so many on average, so many seconds apart.
_BURST: Final = 6
_APART_S: Final = 3.0

# The API's default for a pod.
MAX_PENDING: Final = 64

Order = Callable[[Sequence[Waiting], Turn, float], int]


@dataclass(frozen=True)
class Arrival:
    """A request for an adapter, at a time of the simulated clock."""

    at_s: float
    adapter: str


@dataclass(frozen=True)
class Policy:
    """Which request comes next, and what going from one adapter to another costs."""

    name: str
    order: Order
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


def first_come(waiting: Sequence[Waiting], turn: Turn, now_s: float) -> int:
    return 0


def lorapool(waiting: Sequence[Waiting], turn: Turn, now_s: float) -> int:
    """The runtime's own choice, with its usual rules."""
    return choose(waiting, turn, now_s, USUAL)


def trace(rate: float, duration_s: float, adapters: int, seed: int) -> list[Arrival]:
    """Bursts at random times; the n-th adapter is wanted 1/n as often as the first (Zipf).

    Args:
        rate: requests in a second, on average.
    """
    dice = random.Random(seed)  # noqa: S311 -- a trace, not a secret
    names = [f"adapter-{i}" for i in range(1, adapters + 1)]
    weights = list(accumulate(1 / i for i in range(1, adapters + 1)))
    arrivals, burst_s = [], 0.0
    while (burst_s := burst_s + dice.expovariate(rate / _BURST)) < duration_s:
        at_s = burst_s
        while True:
            arrivals.append(Arrival(at_s, dice.choices(names, cum_weights=weights)[0]))
            if dice.random() < 1 / _BURST:
                break
            at_s += dice.expovariate(1 / _APART_S)
    return sorted(arrivals, key=lambda arrival: arrival.at_s)


def simulate(arrivals: Sequence[Arrival], policy: Policy, inference_s: float) -> Served:
    """Serve them one after the other; those that come while so many wait are refused, as a pod does."""
    now_s, switches, refused = 0.0, 0, 0
    turn = Turn((), 0.0)
    coming = deque(Waiting(((arrival.adapter, 1.0),), arrival.at_s) for arrival in arrivals)
    queue: list[Waiting] = []
    waits = []
    while queue or coming:
        if not queue:
            now_s = max(now_s, coming[0].since_s)
        while coming and coming[0].since_s <= now_s:
            request = coming.popleft()
            if len(queue) < MAX_PENDING:
                queue.append(request)
            else:
                refused += 1
        served = queue.pop(policy.order(queue, turn, now_s))
        if served.stack != turn.stack:
            turn = Turn(served.stack, now_s, policy.switch_s)
            switches += 1
            now_s += policy.switch_s
        waits.append(now_s - served.since_s)
        now_s += inference_s
    return Served(switches, refused, tuple(waits))
