"""How the plots look: plain, the same colours for the same things."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from lorapool_bench.show.words_of import seconds

OURS: Final = "#3b6fb6"
OURS_LIGHT: Final = "#a9c3e4"
THEIRS: Final = "#c8553d"
THEIRS_LIGHT: Final = "#e9b8ac"
INK: Final = "#333333"
_GRID: Final = "#dddddd"
_SMALL: Final = 9


def sheet(title: str, panels: int, height: float) -> tuple[Figure, Sequence[Axes]]:
    """A figure with panels side by side; `height` in inches."""
    figure = Figure(figsize=(9, height), dpi=150, layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, color=INK)
    axes = figure.subplots(1, panels, squeeze=False)[0]
    return figure, list(axes)


def plain(axes: Axes, title: str = "", grid: str = "x") -> None:
    """No frame, a faint grid, small words."""
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(colors=INK, labelsize=_SMALL, length=0)
    axes.grid(axis="x" if grid == "x" else "y", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def bars(axes: Axes, names: Sequence[str], widths: Sequence[float], colours: Sequence[str]) -> None:
    """One horizontal bar for each name, the first on top."""
    places = range(len(names))
    axes.barh(places, widths, color=colours, height=0.62)
    axes.set_yticks(places, names)
    axes.invert_yaxis()


def note(axes: Axes, x: float, y: float, text: str) -> None:
    """Words to the right of a bar's end."""
    # On paper of its own, so that no line of the grid runs through the words.
    paper = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
    axes.annotate(
        text,
        (x, y),
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
        bbox=paper,
        color=INK,
        fontsize=_SMALL,
    )


def in_seconds(axes: Axes) -> None:
    """The scale below the bars in the unit that suits."""
    axes.xaxis.set_major_formatter(lambda value, _: seconds(value) if value else "0")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(which="minor", length=0)


def save(figure: Figure, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without the time of drawing and the library's version the same figures make the same file.
    figure.savefig(path, metadata={"Software": None})
    return path
