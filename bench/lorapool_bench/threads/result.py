"""What the bench of threads found."""

from lorapool_bench.measure.result import Frozen, Result
from lorapool_bench.measure.spread import Spread


class ThreadsWay(Frozen):
    """One way to keep two threads out of each other's turns, in a process of its own.

    Attributes:
        alone: seconds of one forward on the engine's thread, before any other has computed.
        beside: the same while another thread lives that has computed, and now does nothing.
    """

    words: str
    alone: Spread
    beside: Spread


class ThreadsResult(Result):
    """Attributes:
    ways: the first one is what torch does by itself.
    """

    ways: tuple[ThreadsWay, ...]
