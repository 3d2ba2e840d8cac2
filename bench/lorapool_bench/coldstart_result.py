"""What the bench of cold starts found."""

from lorapool_bench.result import Frozen, Result
from lorapool_bench.spread import Spread


class Start(Frozen):
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
    """Files of one dtype, loaded as another one."""

    stored: str
    wanted: str
    size_bytes: int
    starts: tuple[Start, ...]

    def start(self, way: str) -> Start:
        return next(start for start in self.starts if start.way == way)


class ColdstartResult(Result):
    cases: tuple[Case, ...]
