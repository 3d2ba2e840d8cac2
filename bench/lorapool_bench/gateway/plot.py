"""The plot of the gateway: what it adds to the median, and its CPU for a request, by the requests in flight."""

from pathlib import Path

from lorapool_bench.gateway.result import GATEWAY, GatewayResult
from lorapool_bench.show import drawing
from lorapool_bench.show.drawing import OURS, OURS_LIGHT
from lorapool_bench.show.words_of import seconds


def draw(result: GatewayResult, path: Path) -> Path:
    levels = [level for level in result.levels if level.takes_s]
    figure, (added, cpu) = drawing.sheet("What stands before a pod costs a request", 2, 0.8 + 0.26 * len(levels))
    labels = [f"{level.way}, {level.in_flight:,}" for level in levels]
    colours = [OURS if level.way == GATEWAY else OURS_LIGHT for level in levels]
    drawing.bars(added, labels, [level.added_s for level in levels], colours)
    drawing.bars(cpu, labels, [level.cpu_s for level in levels], colours)
    for y, level in enumerate(levels):
        drawing.note(added, max(0.0, level.added_s), y, seconds(level.added_s))
        drawing.note(cpu, level.cpu_s, y, seconds(level.cpu_s))
    for axes, title in ((added, "added to the median, by requests in flight"), (cpu, "CPU")):
        # LiteLLM's are some hundred times nginx's.
        axes.set_xscale("symlog", linthresh=1e-4)
        drawing.in_seconds(axes)
        drawing.plain(axes, title)
        axes.margins(x=0.25)
    return drawing.save(figure, path)
