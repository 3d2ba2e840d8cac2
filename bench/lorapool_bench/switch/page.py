"""The page's section about switches."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from lorapool_bench.measure.result import read
from lorapool_bench.show import page_parts
from lorapool_bench.show.page_parts import plot, table, targets, timing, where
from lorapool_bench.show.words_of import error, gib, seconds, share, times
from lorapool_bench.switch.result import LABELS, KindResult, SwitchResult, WayResult

_TITLE: Final = "From one adapter to the next"
_COMMAND: Final = "make bench-switch"
_HOW: Final = """The article's flow is `load_lora_weights` and `fuse_lora` of the new adapter and `unfuse_lora` and
`unload_lora_weights` of the old one; hotswap is diffusers' own, for adapters of the same shape. lorapool sets pointers
in modules that were wrapped once; from host memory it copies the adapter to the device first (on a CPU, where nothing
would need to be copied, it is made to), from disk it reads the file before that. Files are in the page cache for all.
Merged, it computes every weight that the adapter changes anew, in float32, beside the base.

Nothing is put off: a figure is the switch and what the first forward after it takes longer than a steady one. That
forward is one row through every module that the adapter changes: a whole UNet takes seconds on a CPU, and varies by
more than a switch takes. All ways run in one process on the same weights, in turns.
"""


def section(results: Path, notes: Mapping[str, str]) -> str:
    result = read(SwitchResult, results, "switch")
    if result is None:
        return page_parts.not_measured(_TITLE, _COMMAND)
    base = f"A UNet in SDXL's shape: {result.parameters / 1e9:.3g} B parameters in {result.dtype}.\n\n"
    memory = f"The process with all of it took {gib(result.peak_bytes)} at most.\n\n"
    return "\n".join(
        (
            f"## {_TITLE}\n",
            plot("switch", "Seconds from one adapter to the next"),
            base + _HOW,
            targets(result, notes),
            *(_kind(kind) for kind in result.kinds),
            memory + where(result, _COMMAND),
        )
    )


def _kind(kind: KindResult) -> str:
    head = ["way", "in all", "beside the article", "the switch", "the first forward more", "a module's output off by"]
    title = f"### {kind.name}: rank {kind.rank} on {kind.modules} modules\n"
    rows = [_row(kind, kind.way(name)) for name in LABELS]
    parts = [f"{LABELS[way.name]}: {_parts(way)}" for way in (kind.way(name) for name in LABELS) if len(way.parts) > 1]
    return "\n".join((title, table(head, rows), f"{'; '.join(parts)}.\n", _exact(kind)))


def _row(kind: KindResult, way: WayResult) -> list[str]:
    faster = times(kind.times_faster(way.name, "article")) if way.name != "article" else ""
    label = LABELS[way.name]
    extra = f"{seconds(way.extra.median)} ± {seconds(way.extra.error)}"
    return [label, f"**{seconds(way.total_s)}**", faster, timing(way.switch), extra, error(way.exact.output_error)]


def _parts(way: WayResult) -> str:
    return ", ".join(f"{name} {seconds(part.median)}" for name, part in way.parts.items())


def _exact(kind: KindResult) -> str:
    base = "bit for bit (sha256) what it was before" if kind.base_identical else "**not what it was before**"
    merged = kind.way("merged").exact.weights_equal
    fused = kind.way("article").exact.weights_equal
    return (
        f"Exactness: after lorapool's {kind.lorapool_switches} switches the base was {base}; after the\n"
        f"article's {kind.article_switches} switches {share(kind.article_changed)} of the base's weights were others\n"
        f"than before. Of lorapool's merged weights {share(merged or 0)} are those of float64, rounded once, of the\n"
        f"article's fused ones {share(fused or 0)}. Outputs are compared with float64, over the largest output of the\n"
        "module.\n"
    )
