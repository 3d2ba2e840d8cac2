"""The page's section about the choice of a pod."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from lorapool_bench.measure.result import read
from lorapool_bench.routing.real import page as page_real
from lorapool_bench.routing.result import RoutingResult, TraceRun
from lorapool_bench.show import page_parts
from lorapool_bench.show.page_parts import plot, table, targets, where
from lorapool_bench.show.words_of import seconds

_TITLE: Final = "Which pod gets a request"
_COMMAND: Final = "make bench-routing"
_HOW: Final = """A simulation, on a clock that is a number, of two gateways that take turns and a pool of pods.
What gateways know and choose is their own code (the stream's ticks of 50 ms included, and what it tells at once), and
so are the pods' order, their measurements and what they say of their work; the engine is a number of seconds.
Inference takes the article's 8.5 s on an A10G; a switch, and a load from memory or disk, what `make bench-switch`
measured; a file from another pod 0.75 s; what is read or fetched before a request's turn counts as its wait, not as
switching. Of 130 adapters the n-th is wanted 1/n as often as the first, in bursts; each is on the disks of two pods
at first, which know by that what a file from another pod takes. The same traces for all ways. One queue for all is
what no choice on arrival can do: pods take from it as they become free, and nothing is loaded or switched. The
article's way: one adapter in each pod, the shortest queue, first come first served, 3 s for a switch. GPU-hours are
those of the article's six hours: 130 adapters, about ten of them in two minutes, 92% of the requests for one base.
"""


def section(results: Path, notes: Mapping[str, str]) -> str:
    result = read(RoutingResult, results, "routing")
    if result is None:
        return page_parts.not_measured(_TITLE, _COMMAND)
    hours = result.hours
    return "\n".join(
        (
            f"## {_TITLE}\n",
            plot("routing", "p95 and switches by the number of pods"),
            _HOW,
            targets(result, notes),
            *(_run(run) for run in result.runs),
            f"GPU-hours of the six: {hours.ours:.0f}; a deployment per adapter {hours.each:.0f}, and "
            f"{hours.each_idle:.0f} where each ends after {hours.idle_minutes:.0f} idle minutes.\n",
            where(result, _COMMAND),
            page_real.section(results, notes),
        )
    )


def _run(run: TraceRun) -> str:
    title = f"### {run.name}, {run.pods} pods: {run.requests} requests, load {run.load:.0%}\n"
    rows = [
        [w.way, f"{w.switches}", f"{w.mean_share:.2%}", f"{w.p95_share:.2%}", seconds(w.p50_s), seconds(w.p95_s),
         f"{w.refused}"]
        for w in run.ways
    ]  # fmt: skip
    rows.append(["one queue for all", "", "", "", seconds(run.one_queue_p50_s), seconds(run.one_queue_p95_s), ""])
    head = ["", "switches", "share of inference", "its p95", "p50 of answers", "p95", "refused"]
    return "\n".join((title, table(head, rows)))
