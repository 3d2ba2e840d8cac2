"""`make bench-queue`: traces of requests through the queue's order on a simulated clock."""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import quantiles
from typing import Final

from lorapool_bench.measure import command
from lorapool_bench.measure.machine import machine, versions
from lorapool_bench.measure.progress import steps
from lorapool_bench.measure.result import RESULTS, today
from lorapool_bench.queue import plot as plot_queue
from lorapool_bench.queue.result import QueueResult, Traffic, Waits
from lorapool_bench.queue.simulator import Arrival, Policy, Served, first_come, lorapool, simulate, trace

_ADAPTERS: Final = 130
# The article's on an A10G for 25 steps at 1024 x 1024; and a faster device, or fewer steps.
_INFERENCES_S: Final = (8.5, 2.0)
_LOADS: Final = (0.3, 0.5, 0.7, 0.9)
_ARTICLE_S: Final = 3.0


def policies(switch_s: float) -> tuple[Policy, ...]:
    """Both orders with both costs: which of the two makes the difference can be seen."""
    return (
        Policy("first come, the article's switches", first_come, _ARTICLE_S),
        Policy("lorapool's order, the article's switches", lorapool, _ARTICLE_S),
        Policy("first come, lorapool's switches", first_come, switch_s),
        Policy("lorapool's order and switches", lorapool, switch_s),
    )


def run(switch_s: float, hours: float, traces: int) -> QueueResult:
    """Simulate. The same traces for every policy."""
    start = time.monotonic()
    traffics = []
    with steps(len(_INFERENCES_S) * len(_LOADS)) as step:
        for inference_s in _INFERENCES_S:
            for load in _LOADS:
                step(f"inference {inference_s} s, load {load}")
                days = [trace(load / inference_s, hours * 3600, _ADAPTERS, seed) for seed in range(traces)]
                traffics.append(_traffic(days, inference_s, load, switch_s))
    return QueueResult(
        measured=today(),
        took_s=time.monotonic() - start,
        machine=machine(),
        versions=versions(),
        settings={"adapters": _ADAPTERS, "hours": hours, "traces": traces, "lorapool's switch in s": switch_s},
        traffics=tuple(traffics),
    )


def _traffic(days: Sequence[Sequence[Arrival]], inference_s: float, load: float, switch_s: float) -> Traffic:
    waits = []
    for policy in policies(switch_s):
        served = [simulate(day, policy, inference_s) for day in days]
        waits.append(_waits(policy, served))
    return Traffic(inference_s=inference_s, load=load, requests=sum(map(len, days)), waits=tuple(waits))


def _waits(policy: Policy, served: Sequence[Served]) -> Waits:
    waits_s = [wait for day in served for wait in day.waits_s]
    percentiles = quantiles(waits_s, n=100)
    switches = sum(day.switches for day in served)
    return Waits(
        policy=policy.name,
        switches=switches,
        refused=sum(day.refused for day in served),
        switching_s=switches * policy.switch_s,
        p50_s=percentiles[49],
        p95_s=percentiles[94],
        longest_s=max(waits_s),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--switch-s", type=float, default=0.05, help="lorapool's switch: from host memory, with room")
    parser.add_argument("--hours", type=float, default=6.0)
    parser.add_argument("--traces", type=int, default=4)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    result = run(given.switch_s, given.hours, given.traces)
    command.leave(result, given.out, "queue", plot_queue.draw)


if __name__ == "__main__":
    main()
