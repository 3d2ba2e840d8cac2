"""What the sections of the page have in common."""

from collections.abc import Mapping, Sequence
from typing import Final

from lorapool_bench.measure.result import Result
from lorapool_bench.measure.spread import Spread
from lorapool_bench.show.words_of import gib, seconds, times

_NO_REASON: Final = "missed"


def not_measured(title: str, command: str) -> str:
    return f"## {title}\n\nNot measured yet: `{command}`.\n"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def plot(name: str, words: str) -> str:
    return f"![{words}](../bench/results/{name}.png)\n"


def timing(value: Spread) -> str:
    """Median ± error [smallest, largest]."""
    return f"{seconds(value.median)} ± {seconds(value.error)} [{seconds(value.low)}, {seconds(value.high)}]"


def where(result: Result, command: str) -> str:
    """The last paragraph of a section: how to have the figures again, and on what they were measured."""
    m = result.machine
    device = "" if m.device == "CPU" else f"{m.device}, "
    libraries = ", ".join(f"{name} {number}" for name, number in result.versions.items())
    settings = ", ".join(f"{name} {value}" for name, value in result.settings.items())
    load = f"{m.load:g} processes wanted to run when it began"
    return (
        f"`{command}` ({settings}), {result.measured}, {result.took_s / 60:.0f} minutes; {device}{m.cpu}, "
        f"{m.cores} cores, {gib(m.memory_bytes)} of memory, {load}; {libraries}.\n"
    )


def targets(result: Result, notes: Mapping[str, str]) -> str:
    """Asked and got; empty where nothing was asked."""
    rows = [
        [t.what, times(t.at_least), times(t.got), "met" if t.met else notes.get(t.key, _NO_REASON)]
        for t in result.targets()
    ]
    return table(["target: so many times faster", "asked", "measured", ""], rows) if rows else ""
