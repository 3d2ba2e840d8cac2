"""What a way to choose did with a trace, in the few numbers that are compared."""

import heapq
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean, quantiles

from lorapool_bench.routing.costs import INFERENCE_S
from lorapool_bench.routing.result import WayRun
from lorapool_bench.routing.simulation import RoutedRequest
from lorapool_bench.routing.trace import TracedRequest


def way_run(way: str, served: Sequence[RoutedRequest], refused: int) -> WayRun:
    """The figures of one way; times are those of the trace."""
    totals, shares = quantiles([s.total_s for s in served], n=100), [s.switching_s / INFERENCE_S for s in served]
    return WayRun(
        way=way,
        refused=refused,
        switches=sum(s.is_switch for s in served),
        p50_s=totals[49],
        p95_s=totals[94],
        mean_share=fmean(shares),
        p95_share=quantiles(shares, n=100)[94],
    )


def slower(served: Sequence[RoutedRequest], speed: float) -> list[RoutedRequest]:
    """The same on the clock of the trace, where it was served on one that is so many times as fast."""
    return [
        replace(s, wait_s=s.wait_s * speed, switching_s=s.switching_s * speed, total_s=s.total_s * speed)
        for s in served
    ]


def one_queue(trace: Sequence[TracedRequest], pods: int, inference_s: float = INFERENCE_S) -> list[float]:
    """Seconds until each answer where all pods take from one queue, first come first served, and nothing is loaded or
    switched: whoever has to choose a pod when a request comes can hardly do better.
    """
    free_s = [0.0] * pods
    took_s = []
    for arrival in trace:
        ends_s = max(heapq.heappop(free_s), arrival.at_s) + inference_s
        heapq.heappush(free_s, ends_s)
        took_s.append(ends_s - arrival.at_s)
    return took_s
