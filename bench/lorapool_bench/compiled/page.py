"""The page's section about compiled denoisers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from lorapool_bench.compiled.result import CompiledResult, Way
from lorapool_bench.measure.result import read
from lorapool_bench.show import page_parts
from lorapool_bench.show.page_parts import table, targets, timing, where
from lorapool_bench.show.words_of import seconds, times

_TITLE: Final = "A compiled denoiser"
_COMMAND: Final = "make bench-compile"


def section(results: Path, notes: Mapping[str, str]) -> str:
    result = read(CompiledResult, results, "compiled")
    if result is None:
        return page_parts.not_measured(_TITLE, _COMMAND)
    eager = result.way("eager")
    what = (
        f"One forward of the small base's UNet ({result.parameters / 1e6:.1f} M parameters,\n"
        "`models/weights/shapes-xl`) in float32 on a CPU, by inductor; all ways take turns. The adapter is of rank 16\n"
        "on the attention, its weights random.\n"
    )
    switch = (
        f"A switch between adapters of the compiled one took {timing(result.switch)};\n"
        f"{result.switches} switches asked for {result.recompilations} recompilations. With an adapter its answer\n"
        f"was {result.apart:.1e} of the largest value away from PEFT's.\n"
    )
    head = ["way", "a step", "times as fast as eager", "compiled in"]
    return "\n".join(
        (
            f"## {_TITLE}\n",
            what,
            table(head, [_row(way, eager) for way in result.ways]),
            switch,
            targets(result, notes),
            where(result, _COMMAND),
        )
    )


def _row(way: Way, eager: Way) -> list[str]:
    made = "" if way.compile_s is None else seconds(way.compile_s)
    return [way.words, timing(way.step), times(eager.step.median / way.step.median), made]
