"""What the bench of steps found."""

from lorapool_bench.result import Frozen, Result
from lorapool_bench.spread import Spread


class Variant(Frozen):
    """One state of the UNet.

    Attributes:
        pictures: in one forward.
        step: seconds of one forward.
        ratio: each forward over the plain UNet's one of as many pictures, in the same round; no unit.
    """

    name: str
    words: str
    pictures: int
    step: Spread
    ratio: Spread

    @property
    def is_plain(self) -> bool:
        return self.name.startswith("plain")


class OverheadResult(Result):
    """Attributes:
    variants: named `plain` are the UNet as diffusers makes it.
    """

    peak_bytes: int
    parameters: int
    variants: tuple[Variant, ...]
