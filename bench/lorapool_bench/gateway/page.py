"""The page's section about the gateway."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from lorapool_bench.gateway.result import Burst, GatewayResult, Latency, Level
from lorapool_bench.measure.result import read
from lorapool_bench.show import page_parts
from lorapool_bench.show.page_parts import plot, table, targets, where
from lorapool_bench.show.words_of import seconds

_TITLE: Final = "What the gateway adds"
_COMMAND: Final = "make bench-gateway"
_HOW: Final = """Client, gateway and pod are processes on one machine and share its cores. The same requests go straight
at the pod and through the gateway, in turns. The runtime makes one image after the other, so that many requests at
once would measure its queue; the pod that only waits answers each request after a fixed time, and always a hundred
begin in a second, so that only the number in flight differs. CPU is the gateway's own, in user and kernel mode.
"""
_BURSTS: Final = """All at once, on one pod that lets 64 wait and takes 0.18 s for an image; the time is until an
answer that says 429.
"""


def section(results: Path, notes: Mapping[str, str]) -> str:
    result = read(GatewayResult, results, "gateway")
    if result is None:
        return page_parts.not_measured(_TITLE, _COMMAND)
    levels = table(
        ["pod", "in flight", "straight: p50, p99", "gateway: p50, p99", "added to p50", "ratio", "CPU for a request"],
        [_level(level) for level in result.levels],
    )
    bursts = table(
        ["way", "requests", "images", "429", "else", "first 429", "p50", "last", "CPU in all"],
        [_burst(burst) for burst in result.bursts],
    )
    return "\n".join(
        (
            f"## {_TITLE}\n",
            plot("gateway", "What the gateway costs a request"),
            _HOW,
            targets(result, notes),
            levels,
            _BURSTS,
            bursts,
            where(result, _COMMAND),
        )
    )


def _level(level: Level) -> list[str]:
    return [
        level.pods,
        str(level.in_flight),
        _both(level.straight),
        _both(level.gateway),
        seconds(level.added_s),
        f"{level.ratio:.3f}",
        seconds(level.cpu_s),
    ]


def _both(latency: Latency) -> str:
    return f"{seconds(latency.p50_s)}, {seconds(latency.p99_s)}"


def _burst(burst: Burst) -> list[str]:
    counts = map(str, (burst.requests, burst.made, burst.refused, burst.failed))
    times = (seconds(s) if burst.refused else "" for s in (burst.first_s, burst.p50_s, burst.last_s))
    return [burst.way, *counts, *times, seconds(burst.cpu_s) if burst.cpu_s else ""]
