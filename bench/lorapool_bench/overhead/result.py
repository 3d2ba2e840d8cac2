"""What the bench of steps found."""

from typing import Final

from lorapool_bench.measure.result import Frozen, Goal, Result
from lorapool_bench.measure.spread import Spread
from lorapool_bench.ways.launches import MIXED, MODULES, ONE, WORDS

# Seconds of the host that a forward may take longer at most, by what is active.
_MOST_S: Final = {ONE: 3e-3, MIXED: 4e-3}


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
    host: seconds of the host that a forward of 722 modules takes longer than of plain ones, by what is active.
    """

    peak_bytes: int
    parameters: int
    variants: tuple[Variant, ...]
    modules: int
    call: Spread
    host: dict[str, Spread] = {}

    @property
    def wrapping_s(self) -> float:
        """Of all wrapped modules in one forward."""
        return self.modules * self.call.median

    def variant(self, name: str) -> Variant:
        return next(variant for variant in self.variants if variant.name == name)

    def targets(self) -> tuple[Goal, ...]:
        return tuple(
            Goal(
                key=f"overhead/host-{name}",
                what=f"{WORDS[name]}: {most_s * 1e3:.0f} ms of the host for {MODULES} modules at most",
                at_least=1.0,
                got=most_s / max(self.host[name].median, 1e-9),
            )
            for name, most_s in _MOST_S.items()
            if name in self.host
        )
