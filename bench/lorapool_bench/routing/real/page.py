"""The page's part about the trace that is played for real."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from lorapool_api.wire.gateways.stream import TICK_S
from lorapool_bench.measure.result import read
from lorapool_bench.routing.real.result import LineCosts, RealResult, RealRun
from lorapool_bench.show import page_parts
from lorapool_bench.show.page_parts import plot, table, targets, where
from lorapool_bench.show.words_of import seconds

NAME: Final = "routing-real"
_TITLE: Final = "The same for real"
_COMMAND: Final = "make bench-routing-real"
_HOW: Final = """Two gateways are the command itself (in the last rows with another choice of a pod), pods are the
runtime with its stub engine, which waits as long as an A10G works; all are processes that talk HTTP, with the stream of
the pods' state, on one machine with the clients. The clock is {speed:g} times as fast, inference {inference}; what
gateways and pods have as constants is not: 50 ms between two words of a pod count here as {tick} of the trace, and what
the machine itself takes for a request counts {speed:g} times too. Simulated is the same trace at the same speed, with
the costs that these pods have measured; at speed 1 it is simulated with these costs times {speed:g}, which leaves
the constants small. One queue for all pods, without any switch, has a p95 of {bound}.
"""
_STREAMS: Final = """The streams of the pods' state, {number} of them: while nobody asks each takes {pod} of the pod's
CPU and {gateway} of the gateway's in a second. {line}
"""


def section(results: Path, notes: Mapping[str, str]) -> str:
    result = read(RealResult, results, NAME)
    if result is None:
        return page_parts.not_measured(_TITLE, _COMMAND).replace("## ", "### ", 1)
    how = _HOW.format(
        speed=result.speed,
        inference=seconds(result.costs.inference_s),
        tick=seconds(TICK_S * result.speed),
        bound=seconds(result.one_queue_p95_s),
    )
    head = ["", "p50", "simulated", "p95", "simulated", "at speed 1", "switches", "simulated",
            "share of inference", "its p95", "by a fresh status", "failed", "CPU of gateways", "of pods",
            "sent late by"]  # fmt: skip
    title = f"### {_TITLE}: {result.pods} pods, {result.requests} requests, load {result.load:.0%}\n"
    picture = plot(NAME, "p95 of each way, played and simulated")
    rows = table(head, [_row(run) for run in result.runs])
    streams = _STREAMS.format(
        number=result.stream.streams,
        pod=seconds(result.stream.idle_pod_s),
        gateway=seconds(result.stream.idle_gateway_s),
        line=_line(result.stream.line),
    )
    return "\n".join((title, picture, how, targets(result, notes), rows, streams, where(result, _COMMAND)))


def _line(line: LineCosts) -> str:
    most_pod, most_gateway = (seconds(cpu_s / TICK_S) for cpu_s in (line.pod_s, line.gateway_s))
    return (
        f"A line that tells a change of a queue with {line.waiting} requests of {line.callers} keys has "
        f"{line.size_bytes:,} bytes and takes {seconds(line.pod_s)} of the pod's CPU and {seconds(line.gateway_s)} of "
        f"the gateway's. There is one in {seconds(TICK_S)} at most, however many changes there are, and a pod "
        f"finds out for all its streams at once: {most_pod} and {most_gateway} of CPU in a second."
    )


def _row(run: RealRun) -> list[str]:
    played, simulated = run.played, run.simulated
    times = (played.p50_s, simulated.p50_s, played.p95_s, simulated.p95_s, run.unhurried.p95_s)
    counts = (f"{played.switches}", f"{simulated.switches}", f"{played.mean_share:.2%}", f"{played.p95_share:.2%}")
    cpu = (seconds(run.gateways_cpu_s), seconds(run.pods_cpu_s), seconds(run.late_s))
    return [played.way, *map(seconds, times), *counts, f"{run.fresh:.1%}", f"{run.failed}", *cpu]
