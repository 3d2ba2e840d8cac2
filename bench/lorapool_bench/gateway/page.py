"""The page's section about the gateway."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from lorapool_bench.gateway.result import Burst, GatewayResult, HeldBodies, Latency, Level
from lorapool_bench.measure.result import read
from lorapool_bench.show import page_parts
from lorapool_bench.show.page_parts import plot, table, targets, where
from lorapool_bench.show.words_of import seconds

_TITLE: Final = "What the gateway adds"
_COMMAND: Final = "make bench-gateway"
_HOW: Final = """Client, pod and what stands between them are processes on one machine and share its cores. The same
requests go straight at the pod and through the gateway, nginx (`proxy_pass`, one worker) and LiteLLM's proxy (one
worker, as its documentation starts it). The gateway picks a pod by adapters and queues, nginx only passes on; LiteLLM
is asked in OpenAI's shape, with the image in base64, and is compared with a pod that answers so. The runtime makes one
image after the other, so that many requests at once would measure its queue; the pod that only waits answers each
request with 200 kB after a fixed time. A hundred begin in a second, two hundred with 1,000 in flight, and twenty
through LiteLLM, which does not take a hundred. CPU is of the program between them, in user and kernel mode.
"""
_HELD: Final = """Bodies of 10 MB, all there before the first is answered: a picture for the gateway, JSON for the
others. Memory is what all processes of the program have (RSS), before and at most.
"""
_BURSTS: Final = """All at once, on one pod that lets 64 wait and takes 0.18 s for an image; the time is until an
answer that says 429.
"""


def section(results: Path, notes: Mapping[str, str]) -> str:
    result = read(GatewayResult, results, "gateway")
    if result is None:
        return page_parts.not_measured(_TITLE, _COMMAND)
    levels = table(
        [
            "pod",
            "in flight",
            "through",
            "straight: p50, p99",
            "through: p50, p99",
            "added: p50",
            "p99",
            "CPU for a request",
        ],
        [_level(level) for level in result.levels],
    )
    held = table(
        ["through", "requests", "images", "before", "at most", "grown by"],
        [_held(one) for one in result.held],
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
            _HELD,
            held,
            _BURSTS,
            bursts,
            where(result, _COMMAND),
        )
    )


def _level(level: Level) -> list[str]:
    return [
        level.pods,
        f"{level.in_flight:,}",
        level.way,
        _both(level.straight),
        _both(level.through),
        seconds(level.added_s),
        seconds(level.added_p99_s),
        seconds(level.cpu_s),
    ]


def _held(one: HeldBodies) -> list[str]:
    sizes = (f"{size / 1e6:,.0f} MB" for size in (one.before_bytes, one.most_bytes, one.grown_bytes))
    return [one.way, str(one.requests), str(one.made), *sizes]


def _both(latency: Latency) -> str:
    return f"{seconds(latency.p50_s)}, {seconds(latency.p99_s)}"


def _burst(burst: Burst) -> list[str]:
    counts = map(str, (burst.requests, burst.made, burst.refused, burst.failed))
    times = (seconds(s) if burst.refused else "" for s in (burst.first_s, burst.p50_s, burst.last_s))
    return [burst.way, *counts, *times, seconds(burst.cpu_s) if burst.cpu_s else ""]
