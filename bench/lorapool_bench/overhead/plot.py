"""The plot of steps: what each state of the UNet costs beside the plain one."""

from pathlib import Path
from types import MappingProxyType
from typing import Final

from lorapool_bench.overhead.result import OverheadResult
from lorapool_bench.show import drawing
from lorapool_bench.show.drawing import OURS, OURS_LIGHT, THEIRS
from lorapool_bench.show.words_of import seconds

_COLOURS: Final = MappingProxyType({"plain": THEIRS, "merged": OURS_LIGHT})


def draw(result: OverheadResult, path: Path) -> Path:
    figure, (axes,) = drawing.sheet(
        f"Seconds per step on {result.machine.device}", 1, 0.9 + 0.36 * len(result.variants)
    )
    steps = [variant.step.median for variant in result.variants]
    colours = [_COLOURS.get(variant.name.split()[0], OURS) for variant in result.variants]
    drawing.bars(axes, [variant.words for variant in result.variants], steps, colours)
    for y, variant in enumerate(result.variants):
        beside = f"  ({(variant.ratio.median - 1) * 100:+.1f} %)" if not variant.is_plain else ""
        drawing.note(axes, variant.step.median, y, f"{seconds(variant.step.median)}{beside}")
    drawing.in_seconds(axes)
    drawing.plain(axes)
    axes.set_xlim(0, max(steps) * 1.25)
    return drawing.save(figure, path)
