"""What the bench of steps found."""

from lorapool_bench.result import Frozen, Result
from lorapool_bench.spread import Spread


class Variant(Frozen):
    """One state of the UNet.

    Attributes:
        step: seconds of one forward.
        ratio: each forward over the plain one of the same round; no unit.
    """

    name: str
    words: str
    step: Spread
    ratio: Spread


class OverheadResult(Result):
    """Attributes:
    variants: the first one is the UNet as diffusers makes it.
    """

    parameters: int
    variants: tuple[Variant, ...]
