"""The plot of a fleet: how long until every adapter is served, and until all copies are there."""

from pathlib import Path

from lorapool_bench.fleet.result import FleetResult
from lorapool_bench.show import drawing
from lorapool_bench.show.drawing import OURS, OURS_LIGHT
from lorapool_bench.show.words_of import seconds


def draw(result: FleetResult, path: Path) -> Path:
    first = result.runs[0]
    figure, (axes,) = drawing.sheet(f"{first.pods} pods and {first.adapters} adapters", 1, 2.6)
    labels, values, colours = [], [], []
    for run in result.runs:
        labels += [f"copies {run.copies}: every adapter served", f"copies {run.copies}: all held"]
        values += [run.served_s, run.held_s]
        colours += [OURS, OURS_LIGHT]
    drawing.bars(axes, labels, values, colours)
    for y, value in enumerate(values):
        drawing.note(axes, value, y, seconds(value))
    drawing.in_seconds(axes)
    drawing.plain(axes, "from the moment that the pods are told")
    axes.margins(x=0.25)
    return drawing.save(figure, path)
