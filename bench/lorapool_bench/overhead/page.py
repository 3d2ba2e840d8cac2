"""The page's section about steps."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from lorapool_bench.measure.result import read
from lorapool_bench.overhead.result import OverheadResult, Variant
from lorapool_bench.show import page_parts
from lorapool_bench.show.page_parts import plot, table, targets, timing, where
from lorapool_bench.show.words_of import gib, seconds, share
from lorapool_bench.ways.launches import MODULES, WORDS

_TITLE: Final = "What a step costs with an adapter"
_COMMAND: Final = "make bench-overhead"


def section(results: Path, notes: Mapping[str, str]) -> str:
    result = read(OverheadResult, results, "overhead")
    if result is None:
        return page_parts.not_measured(_TITLE, _COMMAND)
    rows = [_row(variant) for variant in result.variants]
    what = (
        f"One forward of a UNet of {result.parameters / 1e9:.2f} B parameters in {result.settings['dtype']},\n"
        f"for pictures of {result.settings['pixels']} pixels a side, on {result.machine.device}; all states share\n"
        "their weights and take turns. The ratio is to the plain UNet with as many pictures, of the same round. The\n"
        "first forward after a change of state does not count: what it takes longer is part of a switch, above.\n"
        f"The process took {gib(result.peak_bytes)} at most.\n"
    )
    return "\n".join(
        (
            f"## {_TITLE}\n",
            plot("overhead", "Seconds per step"),
            what,
            table(["state of the UNet", "a step", "beside the plain UNet"], rows),
            _wrapping(result),
            _host(result) if result.host else "",
            targets(result, notes),
            where(result, _COMMAND),
        )
    )


def _wrapping(result: OverheadResult) -> str:
    call, all_s = result.call, result.wrapping_s
    than = "longer" if call.median > 0 else "shorter"
    return (
        "What the wrappers cost without an adapter is less than a step varies by. By itself, with next to nothing to\n"
        f"multiply, a call of a wrapped Linear takes {seconds(abs(call.median))} ± {seconds(call.error)} {than} than\n"
        f"of a plain one, which looks parameters up: {seconds(abs(all_s))} {than} for all {result.modules} wrapped\n"
        f"modules, {share(abs(all_s) / result.variant('plain').step.median)} of the step.\n"
    )


def _host(result: OverheadResult) -> str:
    what = (
        "With active adapters the same is a forward of Linears with next to nothing to multiply, as many as the\n"
        f"largest adapters of SDXL change, {MODULES}: the host's CPU time beyond that of plain ones. A device\n"
        "that is quicker than its host waits for it.\n"
    )
    rows = [[WORDS[name], timing(cost), seconds(cost.median / MODULES)] for name, cost in result.host.items()]
    return what + "\n" + table(["active", "a forward longer by", "a module"], rows)


def _row(variant: Variant) -> list[str]:
    ratio = variant.ratio
    beside = f"{(ratio.median - 1) * 100:+.1f} % ± {ratio.error * 100:.1f}" if not variant.is_plain else ""
    return [variant.words, timing(variant.step), beside]
