"""What became of a denoiser that is compiled."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CompileFigures:
    """Counted since the start of the process.

    Attributes:
        graphs: that are there: one for each shape of its arguments.
        misses: forwards that ran eagerly though a graph was there for their shape: each would have been compiled again.
        eager_runs: batches whose steps ran without a graph.
    """

    graphs: int
    misses: int
    eager_runs: int
