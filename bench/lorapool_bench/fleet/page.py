"""The page's section about a fleet."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from lorapool_bench.fleet.result import FleetResult, FleetRun, JoinRun, LargeRun, PlacementRun
from lorapool_bench.measure.result import read
from lorapool_bench.show import page_parts
from lorapool_bench.show.page_parts import plot, table, targets, where
from lorapool_bench.show.words_of import gib, megabytes, seconds, share

_TITLE: Final = "Adapters across a fleet"
_COMMAND: Final = "make bench-fleet"
_HOW: Final = """Pods with the stub engine and empty caches, several in a process, the small Hub in another; all share
the cores of one machine. The pods are told of all adapters at once, as the operator does it, each of those that it
holds. Downloads are those of weight files from the Hub, all others are fetched from a pod that has it. CPU and memory
are the pods' own, the libraries of each process included.
"""


_JOINED: Final = """
### A pod that comes

To a pool that is complete: from the moment that it is warm and is told of the adapters.
"""
_LARGE: Final = """
### A large catalog

Each pod in a process of its own, which was idle, warm and without a catalog before. A task on each event loop comes
round every 5 ms and notes how late it is, and for how long of it the loop's thread could have run and had no core, as
the kernel counts it. What is left is the pod's own doing: the loop's work, and waiting for other threads of its
process. The Hub and the operator's part, which a cluster has on other machines, run at the low priority of the process
that brings a pod's files ahead. CPU and memory are a pod's with that process. One change is a message about one
adapter, with its answer; its CPU includes keeping the catalog on disk.

The latest turn was 249 ms while threads of the pod brought the files, pods asked each other for hundreds at once, and
the collector of garbage looked at fifty thousand objects; and 64 ms while threads went on until the other process was
up. Tried too, with 3,000 adapters, and left: a low priority for the threads alone, which was far worse beside other
work on the machine, since one of them holds the interpreter's lock while it has no core; and one download at a time of
each place, which took four tenths longer and was as late.
"""
_PLACED: Final = """
### Placement alone

The operator's own code in one process, CPU time, for more adapters and pods than one machine runs. In a pool that is
placed, a pod goes, comes back, and one more comes; the last columns are placed anew. """


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
    more = (
        *(_joined(result.joined) if result.joined else ()),
        *(_large(*filter(None, (result.large, result.large_few))) if result.large else ()),
        *(_placed(result.placed) if result.placed else ()),
    )
    return "\n".join(
        (f"## {_TITLE}\n", picture, _HOW, targets(result, notes), table(head, rows), *more, where(result, _COMMAND))
    )


def _row(run: FleetRun) -> list[str]:
    counts = map(str, (run.pods, run.adapters, run.copies))
    asked = map(str, (run.downloads, run.most, run.asked))
    times = (seconds(run.served_s), seconds(run.held_s))
    return [*counts, *times, *asked, seconds(run.cpu_s), gib(run.peak_bytes)]


def _joined(run: JoinRun) -> tuple[str, str]:
    head = ["pods before", "adapters", "takes requests after", "its share", "on its disk after", "downloads"]
    counts = (str(run.pods), str(run.adapters))
    row = [*counts, seconds(run.ready_s), str(run.share), seconds(run.share_s), str(run.downloads)]
    return _JOINED, table(head, [row])


def _large(*runs: LargeRun) -> tuple[str, str]:
    head = [
        "pods", "adapters", "all held", "CPU of all pods", "a pod's memory more", "latest turn of a loop",
        "of it without a core", "by the pod's own doing", "most CPU in one turn", "turns later than 50 ms",
        "by the pod's own doing", "the catalog", "one change", "CPU of a pod for it",
    ]  # fmt: skip
    return _LARGE, table(head, [_large_row(run) for run in runs])


def _large_row(run: LargeRun) -> list[str]:
    late = (str(run.late), str(run.late_apart))
    times = (*map(seconds, (run.stall_s, run.core_s, run.apart_s, run.own_s)), *late)
    sizes = (megabytes(run.catalog_bytes), f"{run.change_bytes} bytes", seconds(run.change_cpu_s))
    counts = (str(run.pods), str(run.adapters), seconds(run.held_s), seconds(run.cpu_s))
    return [*counts, megabytes(run.grown_bytes), *times, *sizes]


def _placed(run: PlacementRun) -> tuple[str, str]:
    due = run.adapters * run.copies / run.pods
    head = ["pods", "adapters", "copies", "copies on a pod", "CPU", "a pod goes", "copies that move", "a pod comes",
            "copies that move", "disks 95 % full", "copies without room"]  # fmt: skip
    spread = f"{run.least} to {run.most}, {due:.0f} due"
    went = (seconds(run.went_s), share(run.went_moved))
    came = (seconds(run.came_s), share(run.came_moved))
    counts = (str(run.pods), str(run.adapters), str(run.copies))
    row = [*counts, spread, seconds(run.first_s), *went, *came, seconds(run.tight_s), str(run.tight_missing)]
    back = "A pod that comes back gets what it had." if run.is_stable else "A pod that comes back gets other copies."
    return f"{_PLACED}{back}\n", table(head, [row])
