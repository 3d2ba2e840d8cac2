"""The page's section about threads."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from lorapool_bench.measure.result import read
from lorapool_bench.show import page_parts
from lorapool_bench.show.page_parts import table, timing, where
from lorapool_bench.show.words_of import times
from lorapool_bench.threads.result import ThreadsResult, ThreadsWay

_TITLE: Final = "Threads beside the engine's"
_COMMAND: Final = "make bench-threads"
_WHAT: Final = """One forward of the small base's UNet on the engine's thread of a CPU: alone, and while another
thread lives that has computed something and now waits. OpenMP gives each thread that computes helpers of its own; where
all of them are more than the cores, libgomp lets none wait actively. Each way in processes of its own.
"""


def section(results: Path, _notes: Mapping[str, str]) -> str:
    result = read(ThreadsResult, results, "threads")
    if result is None:
        return page_parts.not_measured(_TITLE, _COMMAND)
    base_s = result.ways[0].alone.median
    head = ["way", "a step alone", "beside another thread", "of torch's own, alone"]
    rows = [_row(way, base_s) for way in result.ways]
    return "\n".join((f"## {_TITLE}\n", _WHAT, table(head, rows), where(result, _COMMAND)))


def _row(way: ThreadsWay, base_s: float) -> list[str]:
    return [way.words, timing(way.alone), timing(way.beside), times(way.beside.median / base_s)]
