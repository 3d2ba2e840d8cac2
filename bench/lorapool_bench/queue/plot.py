"""The plot of waits: the 95th percentile by load, a panel for each time of inference."""

from itertools import groupby
from pathlib import Path
from typing import Final

from lorapool_bench.queue.result import QueueResult
from lorapool_bench.show import drawing
from lorapool_bench.show.drawing import INK, OURS, OURS_LIGHT, THEIRS, THEIRS_LIGHT
from lorapool_bench.show.words_of import seconds

# In the order of the policies.
_LINES: Final = ((THEIRS, "o-"), (THEIRS_LIGHT, "o--"), (OURS_LIGHT, "o--"), (OURS, "o-"))


def draw(result: QueueResult, path: Path) -> Path:
    panels = [list(group) for _, group in groupby(result.traffics, key=lambda traffic: traffic.inference_s)]
    figure, axes = drawing.sheet("How long the slowest twentieth waits (p95)", len(panels), 3.6)
    for panel, traffics in zip(axes, panels, strict=True):
        loads = [traffic.load for traffic in traffics]
        for i, (colour, line) in enumerate(_LINES):
            waits = [traffic.waits[i].p95_s for traffic in traffics]
            # The broken lines lie on top: where two policies agree, both can be seen.
            panel.plot(
                loads, waits, line, color=colour, label=traffics[0].waits[i].policy, linewidth=2, zorder=len(line)
            )
        drawing.plain(panel, f"inference {seconds(traffics[0].inference_s)}", grid="y")
        panel.set_ylim(bottom=0)
        panel.yaxis.set_major_formatter(lambda value, _: seconds(value) if value else "0")
        panel.set_xticks(loads, [f"{load:.0%}" for load in loads])
        panel.set_xlabel("share of the time that inference alone takes", color=INK, fontsize=9)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return drawing.save(figure, path)
