"""What the bench of compiled denoisers found."""

from typing import Final

from lorapool_bench.measure.result import Frozen, Goal, Result
from lorapool_bench.measure.spread import Spread

# What was asked of a compiled step, beside the eager one.
_ASKED: Final = 1.3


class Way(Frozen):
    """One way to run the denoiser.

    Attributes:
        compile_s: the first forward of a graph, its compilation; None: eager.
        step: seconds of one forward.
    """

    name: str
    words: str
    compile_s: float | None
    step: Spread


class CompiledResult(Result):
    """Attributes:
    switch: seconds from one adapter to the next, of a denoiser that is compiled: contents of fixed weights.
    switches: so many.
    recompilations: graphs that were made in them.
    apart: the largest difference of the answer with an adapter to the eager one's, of its largest value.
    """

    parameters: int
    ways: tuple[Way, ...]
    switch: Spread
    switches: int
    recompilations: int
    apart: float

    def way(self, name: str) -> Way:
        return next(way for way in self.ways if way.name == name)

    def targets(self) -> tuple[Goal, ...]:
        def faster(name: str, than: str) -> float:
            return self.way(than).step.median / self.way(name).step.median

        return (
            Goal(key="compiled/base", what="the base, beside eager", at_least=_ASKED, got=faster("graph", "eager")),
            Goal(
                key="compiled/adapter",
                what="with an adapter, beside eager without",
                at_least=_ASKED,
                got=faster("graph adapter", "eager"),
            ),
        )
