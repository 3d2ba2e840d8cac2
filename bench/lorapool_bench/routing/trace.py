"""Traces of requests for one pool: when each comes, and for which adapter."""

import random
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

ADAPTERS: Final = 130
# Requests come in bursts of so many on average, so many seconds apart.
_BURST: Final = 6
_APART_S: Final = 3.0
# Within a burst most want what the one before wanted: somebody tries an adapter out.
_SAME: Final = 0.5


@dataclass(frozen=True)
class TracedRequest:
    """A request, at a time of the trace; `adapter` is a key."""

    at_s: float
    adapter: str


def keys(adapters: int = ADAPTERS) -> list[str]:
    """Of all adapters, the most wanted first."""
    return [f"default/adapter-{number}" for number in range(1, adapters + 1)]


def bursts(rate: float, duration_s: float, seed: int, adapters: int = ADAPTERS) -> list[TracedRequest]:
    """Bursts at random times; the n-th adapter is wanted 1/n as often as the first (Zipf).

    Args:
        rate: requests in a second, on average.
    """
    rng = random.Random(seed)  # noqa: S311 -- a trace, not a secret
    names = keys(adapters)
    weights = list(accumulate(1 / number for number in range(1, adapters + 1)))
    arrivals, burst_s = [], 0.0
    while (burst_s := burst_s + rng.expovariate(rate / _BURST)) < duration_s:
        at_s, name = burst_s, rng.choices(names, cum_weights=weights)[0]
        while True:
            arrivals.append(TracedRequest(at_s, name))
            if rng.random() < 1 / _BURST:
                break
            at_s += rng.expovariate(1 / _APART_S)
            if rng.random() > _SAME:
                name = rng.choices(names, cum_weights=weights)[0]
    return sorted(arrivals, key=lambda arrival: arrival.at_s)


def of_base(arrivals: list[TracedRequest], share: float, seed: int) -> list[TracedRequest]:
    """That share of them: the others are for other bases, and go to pools of their own."""
    rng = random.Random(seed)  # noqa: S311 -- a trace, not a secret
    return [arrival for arrival in arrivals if rng.random() < share]
