"""The dashboard's panels as a picture, in the plots' own style."""

import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lorapool_bench.dashboard.layout import Panel, PanelRow, Query, Unit
from lorapool_bench.show import drawing

ACROSS: Final = 3
_NAMES: Final = {Unit.PER_SECOND: "/s", Unit.SECONDS: "s", Unit.BYTES: "bytes", Unit.HOURS: "h", Unit.SHARE: ""}
Series = Sequence[dict[str, Any]]


def draw(rows: Sequence[PanelRow], series: Callable[[Query], Series], began_ms: int, path: Path) -> Path:
    """All panels, row by row; numbers share one line."""
    lines = [list(row.panels[i : i + _across(row)]) for row in rows for i in range(0, len(row.panels), _across(row))]
    heights = [0.5 if line[0].is_number else 1.0 for line in lines]
    figure = Figure(figsize=(14, 2.3 * sum(heights)), dpi=80, layout="constrained")
    for line, part in zip(
        lines, figure.subfigures(len(lines), 1, height_ratios=heights, squeeze=False)[:, 0], strict=True
    ):
        axes = part.subplots(1, len(line) if line[0].is_number else ACROSS, squeeze=False)[0]
        for panel, place in zip(line, axes, strict=False):
            (_number if panel.is_number else _lines)(place, panel, series, began_ms)
        for place in axes[len(line) :]:
            place.axis("off")
    return drawing.save(figure, path)


def _across(row: PanelRow) -> int:
    return 6 if row.panels[0].is_number else ACROSS


def _number(axes: Axes, panel: Panel, series: Callable[[Query], Series], _: int) -> None:
    found = series(panel.queries[0])
    last = found[0]["samples"][-1][1] if found else 0.0
    axes.axis("off")
    axes.set_title(panel.title, loc="left", fontsize=9, color=drawing.INK)
    axes.text(0.0, 0.3, f"{last:.3g}", fontsize=22, color=drawing.OURS, transform=axes.transAxes)


def _lines(axes: Axes, panel: Panel, series: Callable[[Query], Series], began_ms: int) -> None:
    unit = _NAMES.get(panel.unit, "")
    drawing.plain(axes, f"{panel.title}{f' ({unit})' if unit else ''}", grid="y")
    named = [(_legend(query, one["labels"]), one["samples"]) for query in panel.queries for one in series(query)]
    named = [(name, [(t, v) for t, v in rows if not math.isnan(v)]) for name, rows in named]
    if panel.is_stacked and named:
        times = sorted({t for _, rows in named for t, _ in rows})
        heights = [[dict(map(tuple, rows)).get(t, 0.0) for t in times] for _, rows in named]
        axes.stackplot([(t - began_ms) / 1000 for t in times], heights, labels=[name for name, _ in named], alpha=0.8)
    else:
        for name, rows in named:
            axes.plot([(t - began_ms) / 1000 for t, _ in rows], [v for _, v in rows], label=name, linewidth=1.3)
    axes.set_ylim(bottom=0)
    if named:
        axes.legend(fontsize=6, frameon=False, loc="upper left", ncols=2)


def _legend(query: Query, labels: dict[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda match: labels.get(match.group(1), ""), query.legend) or "value"
