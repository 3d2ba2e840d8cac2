"""The plot: p95 of the answers by the number of pods, and how often they switched."""

from pathlib import Path
from typing import Final

from lorapool_bench.routing.result import RoutingResult
from lorapool_bench.show import drawing
from lorapool_bench.show.drawing import INK, OURS, OURS_LIGHT, THEIRS, THEIRS_LIGHT
from lorapool_bench.show.words_of import seconds

# In the order of the ways.
_LINES: Final = ((OURS, "o-"), (THEIRS_LIGHT, "o--"), (OURS_LIGHT, "o--"), (INK, "o:"), (THEIRS, "o-"))


def draw(result: RoutingResult, path: Path) -> Path:
    runs = result.runs[:-1]
    figure, (slow, switched) = drawing.sheet("Which pod gets a request: 1 to 20 pods, load 60%", 2, 3.8)
    pods = [run.pods for run in runs]
    for i, (colour, line) in enumerate(_LINES):
        ways = [run.ways[i] for run in runs]
        slow.plot(pods, [way.p95_s for way in ways], line, color=colour, label=ways[0].way, linewidth=2)
        shares = [100 * way.switches / run.requests for way, run in zip(ways, runs, strict=True)]
        switched.plot(pods, shares, line, color=colour, linewidth=2)
    for axes, title in ((slow, "p95 from request to image"), (switched, "switches per 100 requests")):
        drawing.plain(axes, title, grid="y")
        axes.set_xscale("log")
        axes.set_xticks(pods, [str(number) for number in pods])
        axes.minorticks_off()
        axes.set_xlabel("pods", color=INK, fontsize=9)
    slow.set_yscale("log")
    slow.yaxis.set_major_formatter(lambda value, _: seconds(value))
    switched.set_ylim(bottom=0)
    figure.legend(*slow.get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False, fontsize=9)
    return drawing.save(figure, path)
