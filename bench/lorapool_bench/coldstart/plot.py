"""The plot of cold starts: load, and reading every weight once, one after the other in each bar."""

from pathlib import Path

from lorapool_bench.coldstart.result import ColdstartResult
from lorapool_bench.show import drawing
from lorapool_bench.show.drawing import OURS, OURS_LIGHT, THEIRS, THEIRS_LIGHT
from lorapool_bench.show.words_of import gib, seconds


def draw(result: ColdstartResult, path: Path) -> Path:
    figure, panels = drawing.sheet("From files to memory: load (dark), first touch (light)", len(result.cases), 2.2)
    for i, (axes, case) in enumerate(zip(panels, result.cases, strict=True)):
        loads = [start.load.median for start in case.starts]
        touches = [start.touch.median for start in case.starts]
        ours = [start.way == "lorapool" for start in case.starts]
        drawing.bars(axes, [start.way for start in case.starts], loads, [OURS if o else THEIRS for o in ours])
        light = [OURS_LIGHT if o else THEIRS_LIGHT for o in ours]
        axes.barh(range(len(loads)), touches, left=loads, color=light, height=0.62)
        for y, start in enumerate(case.starts):
            words = f"{seconds(start.total.median)}, {gib(start.peak_bytes)}"
            drawing.note(axes, loads[y] + touches[y], y, words)
        drawing.in_seconds(axes)
        drawing.plain(axes, f"{case.stored} files {case.where},\n{case.wanted} wanted")
        axes.set_xlim(0, max(a + b for a, b in zip(loads, touches, strict=True)) * 1.5)
        if i:
            axes.set_yticklabels([])
    return drawing.save(figure, path)
