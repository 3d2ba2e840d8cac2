"""The plot of switches: each way a bar on a logarithmic scale, for each kind of adapter a panel."""

from pathlib import Path
from types import MappingProxyType
from typing import Final

from lorapool_bench.show import drawing
from lorapool_bench.show.drawing import OURS, OURS_LIGHT, THEIRS, THEIRS_LIGHT
from lorapool_bench.show.words_of import seconds, times
from lorapool_bench.switch.result import LABELS, SwitchResult

_COLOURS: Final = MappingProxyType({"article": THEIRS, "hotswap": THEIRS_LIGHT, "merged": OURS_LIGHT})


def draw(result: SwitchResult, path: Path) -> Path:
    figure, panels = drawing.sheet("Seconds from one adapter to the next", len(result.kinds), 3.2)
    for i, (axes, kind) in enumerate(zip(panels, result.kinds, strict=True)):
        names = [name for name in LABELS if name in {way.name for way in kind.ways}]
        totals = [kind.way(name).total_s for name in names]
        drawing.bars(axes, [LABELS[name] for name in names], totals, [_COLOURS.get(name, OURS) for name in names])
        for y, (name, total) in enumerate(zip(names, totals, strict=True)):
            faster = f"  ({times(kind.times_faster(name, 'article'))})" if name != "article" else ""
            drawing.note(axes, total, y, f"{seconds(total)}{faster}")
        drawing.plain(axes, f"{kind.name}: rank {kind.rank} on {kind.modules} modules")
        axes.set_xscale("log")
        drawing.in_seconds(axes)
        axes.set_xlim(min(totals) / 2, max(totals) * 30)
        if i:
            axes.set_yticklabels([])
    return drawing.save(figure, path)
