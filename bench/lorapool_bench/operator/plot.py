"""The plot of the operator: how long each thing takes."""

from pathlib import Path

from lorapool_bench.operator.result import IDLE, OperatorResult
from lorapool_bench.operator.words import words
from lorapool_bench.show import drawing
from lorapool_bench.show.drawing import OURS, OURS_LIGHT
from lorapool_bench.show.words_of import seconds


def draw(result: OperatorResult, path: Path) -> Path:
    timed = [scene for scene in result.scenes if scene.what != IDLE]
    figure, (axes,) = drawing.sheet(f"Thousands of adapters, {result.pods} pods", 1, 0.5 + 0.3 * len(timed))
    labels = [words(scene) for scene in timed]
    colours = [OURS_LIGHT if scene.adapters >= result.large else OURS for scene in timed]
    drawing.bars(axes, labels, [scene.took_s for scene in timed], colours)
    for y, scene in enumerate(timed):
        drawing.note(axes, scene.took_s, y, seconds(scene.took_s))
    drawing.in_seconds(axes)
    drawing.plain(axes)
    axes.margins(x=0.25)
    return drawing.save(figure, path)
