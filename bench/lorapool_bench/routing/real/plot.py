"""The plot: p95 of each way, played and simulated."""

from pathlib import Path

from lorapool_bench.routing.real.result import RealResult
from lorapool_bench.show import drawing
from lorapool_bench.show.drawing import OURS, OURS_LIGHT
from lorapool_bench.show.words_of import seconds


def draw(result: RealResult, path: Path) -> Path:
    title = f"{result.pods} pods and two gateways as processes, {result.speed:g} times as fast"
    figure, (axes,) = drawing.sheet(title, 1, 2.6)
    labels, values, colours = [], [], []
    for run in result.runs:
        labels += [f"{run.played.way}: played", "simulated"]
        values += [run.played.p95_s, run.simulated.p95_s]
        colours += [OURS, OURS_LIGHT]
    drawing.bars(axes, labels, values, colours)
    for y, value in enumerate(values):
        drawing.note(axes, value, y, seconds(value))
    drawing.in_seconds(axes)
    drawing.plain(axes, "p95 from request to image, in the time of the trace")
    axes.margins(x=0.25)
    return drawing.save(figure, path)
