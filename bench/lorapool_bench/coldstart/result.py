"""What the bench of cold starts found."""

from typing import Final

from lorapool_bench.measure.result import Frozen, Goal, Result
from lorapool_bench.measure.spread import Spread

_TWICE: Final = 2.0


class PipelineStart(Frozen):
    """One way to load a pipeline, each time in a fresh process.

    Attributes:
        load: until the pipeline is there.
        touch: reading every weight once afterwards: what a mapped file put off is paid here.
        total: both.
        peak_bytes: the most memory that the process had, pages of mapped files included, the libraries as well.
        own_bytes: memory at the end that is the process's own, without pages of files.
    """

    way: str
    load: Spread
    touch: Spread
    total: Spread
    peak_bytes: int
    own_bytes: int


class Case(Frozen):
    """Files of one dtype, loaded as another one; `cached`: whether they are in the page cache."""

    stored: str
    wanted: str
    cached: bool
    size_bytes: int
    starts: tuple[PipelineStart, ...]

    def start(self, way: str) -> PipelineStart:
        return next(start for start in self.starts if start.way == way)

    @property
    def where(self) -> str:
        return "in the page cache" if self.cached else "on disk"

    @property
    def target(self) -> Goal:
        """Sidecars the quicker of diffusers' two ways."""
        ours = self.start("lorapool").total.median
        theirs = min(start.total.median for start in self.starts if start.way != "lorapool")
        return Goal(
            key=f"coldstart/{self.stored}-{self.wanted}-{'cached' if self.cached else 'disk'}",
            what=f"{self.stored} files {self.where}, {self.wanted} wanted",
            at_least=_TWICE,
            got=theirs / ours,
        )


class ColdstartResult(Result):
    """What loading a pipeline took, by dtype of the files and of the modules."""

    cases: tuple[Case, ...]

    def targets(self) -> tuple[Goal, ...]:
        """Of the cases where there is work to save: with nothing to convert or to read both only map pages."""
        return tuple(case.target for case in self.cases if case.stored != case.wanted or not case.cached)
