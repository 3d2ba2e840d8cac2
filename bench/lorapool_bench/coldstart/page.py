"""The page's section about cold starts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from lorapool_bench.coldstart.result import Case, ColdstartResult, PipelineStart
from lorapool_bench.measure.result import read
from lorapool_bench.show import page_parts
from lorapool_bench.show.page_parts import plot, table, targets, timing, where
from lorapool_bench.show.words_of import gib, seconds

_TITLE: Final = "From files to a warm base"
_COMMAND: Final = "make bench-coldstart"
_HOW: Final = """Each load in a fresh process that has imported everything and loaded a small pipeline before.
*diffusers* is `from_pretrained(folder, dtype=...).to(device)`, *converting*
`from_pretrained(folder).to(device, dtype)`; the target is beside the quicker of the two. The first touch sums every
weight once: what a mapped file put off is paid there, and counts. Memory is the process's peak, mapped files and
libraries included.
"""


def section(results: Path, notes: Mapping[str, str]) -> str:
    result = read(ColdstartResult, results, "coldstart")
    if result is None:
        return page_parts.not_measured(_TITLE, _COMMAND)
    return "\n".join(
        (
            f"## {_TITLE}\n",
            plot("coldstart", "From files to memory"),
            _HOW,
            *(_case(case) for case in result.cases),
            targets(result, notes),
            where(result, _COMMAND),
        )
    )


def _case(case: Case) -> str:
    title = f"### {case.stored} files of {gib(case.size_bytes)} {case.where}, {case.wanted} wanted\n"
    head = ["loader", "in all", "beside lorapool", "load", "first touch", "peak memory", "its own at the end"]
    ours = case.start("lorapool").total.median
    return "\n".join((title, table(head, [_row(start, ours) for start in case.starts])))


def _row(start: PipelineStart, ours_s: float) -> list[str]:
    total_s = start.total.median
    beside = f"{total_s / ours_s:.2f} ×" if start.way != "lorapool" else ""
    memory = [gib(start.peak_bytes), gib(start.own_bytes)]
    return [start.way, f"**{seconds(total_s)}**", beside, timing(start.load), seconds(start.touch.median), *memory]
