"""The page's section about a fleet."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from lorapool_bench.fleet.result import FleetResult, FleetRun
from lorapool_bench.measure.result import read
from lorapool_bench.show import page_parts
from lorapool_bench.show.page_parts import plot, table, targets, where
from lorapool_bench.show.words_of import gib, seconds

_TITLE: Final = "Adapters across a fleet"
_COMMAND: Final = "make bench-fleet"
_HOW: Final = """Pods with the stub engine and empty caches, several in a process, the small Hub in another; all share
the cores of one machine. The pods are told of all adapters at once, as the operator does it, each of those that it
holds. Downloads are those of weight files from the Hub, all others are fetched from a pod that has it. CPU and memory
are the pods' own, the libraries of each process included.
"""


def section(results: Path, notes: Mapping[str, str]) -> str:
    result = read(FleetResult, results, "fleet")
    if result is None:
        return page_parts.not_measured(_TITLE, _COMMAND)
    head = [
        "pods", "adapters", "copies", "every adapter served", "all copies held", "downloads", "most of one file",
        "requests at the Hub", "CPU of all pods", "memory of the largest process",
    ]  # fmt: skip
    rows = [_row(run) for run in result.runs]
    picture = plot("fleet", "How long until adapters are served")
    return "\n".join(
        (f"## {_TITLE}\n", picture, _HOW, targets(result, notes), table(head, rows), where(result, _COMMAND))
    )


def _row(run: FleetRun) -> list[str]:
    counts = map(str, (run.pods, run.adapters, run.copies))
    asked = map(str, (run.downloads, run.most, run.asked))
    times = (seconds(run.served_s), seconds(run.held_s))
    return [*counts, *times, *asked, seconds(run.cpu_s), gib(run.peak_bytes)]
