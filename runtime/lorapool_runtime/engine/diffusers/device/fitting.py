"""What fits the device: found by trying it once, before anybody asks for it."""

from collections.abc import Callable
from dataclasses import dataclass
from math import isqrt
from typing import Final

from lorapool_runtime.engine.diffusers.device.faults import is_full

# Each halves what is unknown between a size that fits and one that does not.
_TRIES: Final = 3
# Of the device's memory: what fragments of the allocator and libraries may take beyond what was measured.
_SPARE: Final = 1 / 32


@dataclass(frozen=True)
class Fit:
    """The largest picture of the pool that the device makes, and what it takes.

    Attributes:
        pixels: of one picture; 0 where not even the usual one fits.
        whole_pixels: up to so many the VAE works on the picture as a whole, above it tile by tile.
        peak_bytes: most memory that it took beyond the base.
    """

    pixels: int
    whole_pixels: int
    peak_bytes: int


def find(make: Callable[[int, bool], int], usual: int, limit: int, free: Callable[[], None]) -> Fit:
    """Try the usual size, then the limit, then what lies between. Tiles only where the whole finds no room.

    Args:
        make: makes a picture of about so many pixels, in tiles or not, and tells the most memory that it took. Raises
            torch.OutOfMemoryError.
        free: called after what did not fit.
    """

    def tried(pixels: int, *, tiled: bool) -> int | None:
        try:
            return make(pixels, tiled)
        except RuntimeError as error:
            if not is_full(error):
                raise
        # Out here, the error and what its frames hold is gone.
        free()
        return None

    whole = tried(usual, tiled=False)
    usual_peak = whole if whole is not None else tried(usual, tiled=True)
    if whole is not None and limit > usual and (peak := tried(limit, tiled=False)) is not None:
        return Fit(limit, limit, max(peak, whole))
    best = Fit(usual if usual_peak is not None else 0, usual if whole is not None else 0, usual_peak or 0)
    if best.pixels >= limit:
        return best
    if best.pixels and (peak := tried(limit, tiled=True)) is not None:
        return Fit(limit, best.whole_pixels, max(peak, best.peak_bytes))
    too_many = limit if best.pixels else usual
    for _ in range(_TRIES):
        width, height = square((best.pixels + too_many) // 2)
        middle = width * height
        if middle <= best.pixels:
            break
        peak = tried(middle, tiled=True)
        if peak is None:
            too_many = middle
        else:
            best = Fit(middle, best.whole_pixels, max(peak, best.peak_bytes))
    return best


def square(pixels: int) -> tuple[int, int]:
    """Width and height of about so many pixels, multiples of 8."""
    side = max(isqrt(pixels) // 8 * 8, 8)
    return side, side


def budget_bytes(free_bytes: int, total_bytes: int, peak_bytes: int) -> int:
    """What adapters may take: what is free beside the base, without what a request takes and something to spare."""
    return max(int(free_bytes - peak_bytes - total_bytes * _SPARE), 0)
