"""The page's section about the queue."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from lorapool_bench.measure.result import read
from lorapool_bench.queue.result import QueueResult, Traffic
from lorapool_bench.show import page_parts
from lorapool_bench.show.page_parts import plot, table, targets, where
from lorapool_bench.show.words_of import seconds

_TITLE: Final = "How long requests wait"
_COMMAND: Final = "make bench-queue"
_HOW: Final = """A simulation, on a clock that is a number: one pod, traces of requests in bursts, the n-th adapter
wanted 1/n as often as the first. The order is the runtime's own choice with its usual rules, or first come first
served; a switch costs the article's 3 s, or lorapool's. The same traces for all; nothing is batched. Who comes while 64
wait is refused. Load is the share of the time that inference alone takes. What an order can save is switches: where
they take seconds it matters, where they take milliseconds there is next to nothing left to save, and it is fair
instead.
"""


def section(results: Path, notes: Mapping[str, str]) -> str:
    result = read(QueueResult, results, "queue")
    if result is None:
        return page_parts.not_measured(_TITLE, _COMMAND)
    return "\n".join(
        (
            f"## {_TITLE}\n",
            plot("queue", "p95 of the waits by load"),
            _HOW,
            *(_traffic(traffic) for traffic in result.traffics),
            targets(result, notes),
            where(result, _COMMAND),
        )
    )


def _traffic(traffic: Traffic) -> str:
    title = f"### Inference {seconds(traffic.inference_s)}, load {traffic.load:.0%}: {traffic.requests} requests\n"
    rows = [
        [
            w.policy,
            f"{w.switches}",
            seconds(w.switching_s),
            f"{w.refused}",
            *map(seconds, (w.p50_s, w.p95_s, w.longest_s)),
        ]
        for w in traffic.waits
    ]
    head = ["", "switches", "spent on them", "refused", "p50", "p95", "longest"]
    return "\n".join((title, table(head, rows)))
