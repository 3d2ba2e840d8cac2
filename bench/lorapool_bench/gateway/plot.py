"""The plot of the gateway: what it adds to the median, and its CPU for a request, by the requests in flight."""

from pathlib import Path

from lorapool_bench.gateway.result import GatewayResult
from lorapool_bench.show import drawing
from lorapool_bench.show.drawing import OURS, OURS_LIGHT
from lorapool_bench.show.words_of import seconds


def draw(result: GatewayResult, path: Path) -> Path:
    figure, (added, cpu) = drawing.sheet("What the gateway costs a request", 2, 2.6)
    labels = [f"{level.in_flight}{', stub' if not level.takes_s else ''}" for level in result.levels]
    drawing.bars(added, labels, [level.added_s for level in result.levels], [OURS] * len(labels))
    drawing.bars(cpu, labels, [level.cpu_s for level in result.levels], [OURS_LIGHT] * len(labels))
    for y, level in enumerate(result.levels):
        drawing.note(added, max(0.0, level.added_s), y, seconds(level.added_s))
        drawing.note(cpu, level.cpu_s, y, seconds(level.cpu_s))
    for axes, title in ((added, "added to the median, by requests in flight"), (cpu, "CPU of the gateway")):
        drawing.in_seconds(axes)
        drawing.plain(axes, title)
        axes.margins(x=0.25)
    return drawing.save(figure, path)
