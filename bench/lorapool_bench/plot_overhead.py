"""The plot of steps: what each state of the UNet costs beside the plain one."""

from pathlib import Path

from lorapool_bench import drawing
from lorapool_bench.drawing import OURS, OURS_LIGHT, THEIRS
from lorapool_bench.overhead_result import OverheadResult
from lorapool_bench.words_of import seconds


def draw(result: OverheadResult, path: Path) -> Path:
    figure, (axes,) = drawing.sheet(
        f"Seconds per step on {result.machine.device}", 1, 0.9 + 0.36 * len(result.variants)
    )
    steps = [variant.step.median for variant in result.variants]
    colours = [THEIRS] + [OURS_LIGHT if v.name.startswith("merged") else OURS for v in result.variants[1:]]
    drawing.bars(axes, [variant.words for variant in result.variants], steps, colours)
    for y, variant in enumerate(result.variants):
        beside = f"  ({(variant.ratio.median - 1) * 100:+.1f} %)" if y else ""
        drawing.note(axes, variant.step.median, y, f"{seconds(variant.step.median)}{beside}")
    drawing.in_seconds(axes)
    drawing.plain(axes)
    axes.set_xlim(0, max(steps) * 1.25)
    return drawing.save(figure, path)
