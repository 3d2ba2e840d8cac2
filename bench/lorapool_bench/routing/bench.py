"""`make bench-routing`: traces of requests through ways to choose a pod, on a simulated clock."""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Final

from lorapool_bench.measure import command
from lorapool_bench.measure.machine import machine, versions
from lorapool_bench.measure.progress import steps
from lorapool_bench.measure.result import RESULTS, today
from lorapool_bench.routing import choices
from lorapool_bench.routing import plot as plot_routing
from lorapool_bench.routing.choices import Choose
from lorapool_bench.routing.costs import ARTICLE, INFERENCE_S, EngineSeconds, measured
from lorapool_bench.routing.figures import one_queue, way_run
from lorapool_bench.routing.pod import PickNext, as_the_runtime, first_come
from lorapool_bench.routing.result import GpuHours, RoutingResult, TraceRun
from lorapool_bench.routing.simulation import RoutingSimulation
from lorapool_bench.routing.trace import ADAPTERS, TracedRequest, bursts, of_base

_PODS: Final = (1, 2, 5, 10, 20)
_LOAD: Final = 0.6
# Of the article: about ten adapters in two minutes on one or two devices, fewer than five in all; 92% of one base.
_ARTICLE_RATE: Final = 0.15
_ARTICLE_PODS: Final = 4
_ARTICLE_HOURS: Final = 6.0
_SHARE: Final = 0.92
_IDLE_S: Final = 900.0
# A deployment of an adapter starts before its first answer.
_START_S: Final = 25.0


def ways(costs: EngineSeconds, seed: int) -> tuple[tuple[str, EngineSeconds, PickNext, Choose], ...]:
    return (
        (choices.LORAPOOL, costs, as_the_runtime, choices.by_cost),
        (choices.RANDOM, costs, as_the_runtime, choices.at_random(seed)),
        (choices.LEAST, costs, as_the_runtime, choices.by_load),
        (choices.STICKY, costs, as_the_runtime, choices.by_hash),
        (choices.ARTICLE, ARTICLE, first_come, choices.by_load),
    )


def run(results: Path, hours: float, article_hours: float) -> RoutingResult:
    """Simulate. Raises: ValueError, where no costs were measured."""
    start, costs = time.monotonic(), measured(results)
    article = bursts(_ARTICLE_RATE, article_hours * 3600, seed=6)
    traces = [(f"Bursts of {hours:g} h", n, bursts(_LOAD * n / INFERENCE_S, hours * 3600, n)) for n in _PODS]
    traces.append(("The article's six hours", _ARTICLE_PODS, of_base(article, _SHARE, seed=6)))
    runs = []
    with steps(len(traces)) as step:
        for name, pods, trace in traces:
            step(f"{name}, {pods} pods")
            runs.append(_run(name, pods, trace, costs))
    return RoutingResult(
        measured=today(),
        took_s=time.monotonic() - start,
        machine=machine(),
        versions=versions(),
        settings={"adapters": ADAPTERS, "hours": hours},
        runs=tuple(runs),
        hours=gpu_hours(article, article_hours),
    )


def gpu_hours(trace: Sequence[TracedRequest], hours: float) -> GpuHours:
    """Of so many hours as the article's, in ways to serve them."""
    until_s: dict[str, float] = {}
    on_s = 0.0
    for arrival in trace:
        is_on = arrival.at_s <= until_s.get(arrival.adapter, -1.0)
        ends_s = arrival.at_s + INFERENCE_S + _IDLE_S
        on_s += ends_s - until_s[arrival.adapter] if is_on else ends_s - arrival.at_s + _START_S
        until_s[arrival.adapter] = ends_s
    return GpuHours(
        each=ADAPTERS * hours,
        each_idle=on_s / 3600,
        idle_minutes=_IDLE_S / 60,
        ours=(_ARTICLE_PODS + 1) * hours,
    )


def _run(name: str, pods: int, trace: Sequence[TracedRequest], costs: EngineSeconds) -> TraceRun:
    done = []
    for way, paid, order, choose in ways(costs, seed=pods):
        simulation = RoutingSimulation(pods, paid, order, choose)
        simulation.run(trace)
        done.append(way_run(way, simulation.served, simulation.refused))
    load, bound_s = len(trace) * INFERENCE_S / pods / trace[-1].at_s, one_queue(trace, pods)
    return TraceRun(
        name=name,
        pods=pods,
        requests=len(trace),
        load=load,
        ways=tuple(done),
        one_queue_p50_s=median(bound_s),
        one_queue_p95_s=quantiles(bound_s, n=100)[94],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--article-hours", type=float, default=_ARTICLE_HOURS)
    parser.add_argument("--costs", type=Path, default=RESULTS, help="folder with the result of the bench of switches")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    command.leave(run(given.costs, given.hours, given.article_hours), given.out, "routing", plot_routing.draw)


if __name__ == "__main__":
    main()
