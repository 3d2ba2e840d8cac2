"""What the bench of steps found."""

from lorapool_bench.measure.result import Frozen, Result
from lorapool_bench.measure.spread import Spread


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
    modules: of the UNet that are wrapped.
    call: what a call of one of them takes longer than of a plain one, no active adapter.
    """

    peak_bytes: int
    parameters: int
    variants: tuple[Variant, ...]
    modules: int
    call: Spread

    @property
    def wrapping_s(self) -> float:
        """Of all wrapped modules in one forward."""
        return self.modules * self.call.median

    def variant(self, name: str) -> Variant:
        return next(variant for variant in self.variants if variant.name == name)
