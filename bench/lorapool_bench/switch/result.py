"""What the bench of switches found."""

from types import MappingProxyType
from typing import Final

from lorapool_bench.measure.result import Frozen, Goal, Result
from lorapool_bench.measure.spread import Spread

# Ways, in the order of a plot.
LABELS: Final = MappingProxyType(
    {
        "article": "diffusers: the article's flow",
        "hotswap": "diffusers: hotswap",
        "disk": "lorapool: from disk",
        "host": "lorapool: from host memory",
        "resident": "lorapool: from the device",
        "merged": "lorapool: merged anew",
    }
)
# Way -> how many times faster than which other way, where that was asked for.
ASKED: Final = (
    ("resident", "article", 1000.0),
    ("host", "article", 200.0),
    ("disk", "article", 30.0),
    ("resident", "hotswap", 50.0),
)


class Exactness(Frozen):
    """Attributes:
    output_error: largest difference of a module's output from float64, over the largest output, over all samples.
    weights_equal: share of the merged weights that are W + BA of float64, rounded once; None for unmerged ways.
    """

    output_error: float
    weights_equal: float | None


class WayResult(Frozen):
    """One way to switch between two adapters of one kind.

    Attributes:
        parts: what the switch is made of.
        switch: all parts of one switch together.
        extra: what the first pass of one row takes longer than a steady one.
        steady: a steady pass.
    """

    name: str
    parts: dict[str, Spread]
    switch: Spread
    extra: Spread
    steady: Spread
    exact: Exactness

    @property
    def total_s(self) -> float:
        """The figure: the switch and what it put off. A first pass that seems faster than a steady one is noise."""
        return self.switch.median + max(self.extra.median, 0.0)


class KindResult(Frozen):
    """All ways with one kind of adapter.

    Attributes:
        base_identical: whether the base's sha256 was the same before and after all of lorapool's switches.
        article_changed: share of the base's weights that the article's flow left altered, of a sample.
    """

    name: str
    modules: int
    rank: int
    size_bytes: int
    base_identical: bool
    lorapool_switches: int
    article_changed: float
    article_switches: int
    ways: tuple[WayResult, ...]

    def way(self, name: str) -> WayResult:
        return next(way for way in self.ways if way.name == name)

    def times_faster(self, way: str, than: str) -> float:
        return self.way(than).total_s / self.way(way).total_s


class SwitchResult(Result):
    """Attributes:
    peak_bytes: of the one process in which all ways ran, the base's weights held once.
    """

    peak_bytes: int
    parameters: int
    dtype: str
    kinds: tuple[KindResult, ...]

    def targets(self) -> tuple[Goal, ...]:
        return tuple(
            Goal(
                key=f"switch/{kind.name}/{way}-{than}",
                what=f"{kind.name}: {_WORDS[way]} beside {_WORDS[than]}",
                at_least=at_least,
                got=kind.times_faster(way, than),
            )
            for kind in self.kinds
            for way, than, at_least in ASKED
        )


_WORDS: Final = {
    "article": "the article's flow",
    "hotswap": "diffusers' hotswap",
    "resident": "an adapter on the device",
    "host": "one in host memory",
    "disk": "one on disk",
}
