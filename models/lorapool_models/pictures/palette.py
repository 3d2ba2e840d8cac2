"""The ten colours that the base model knows by name."""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Pixels: TypeAlias = NDArray[np.float32]
"""Height x width x 3, red-green-blue in 0..1; or one such triple."""


def from_hex(code: str) -> Pixels:
    """`"#E5484D"` as a triple in 0..1."""
    return np.asarray([int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)], np.float32)


PALETTE: Final[dict[str, Pixels]] = {
    "red": from_hex("#E23D46"),
    "orange": from_hex("#F58A2E"),
    "yellow": from_hex("#F9D04C"),
    "green": from_hex("#3DA564"),
    "cyan": from_hex("#45C4CF"),
    "blue": from_hex("#3763D8"),
    "purple": from_hex("#8347C4"),
    "pink": from_hex("#F58BBB"),
    "white": from_hex("#F5F2EC"),
    "black": from_hex("#25272F"),
}
COLOURS: Final = tuple(PALETTE)


def mix(a: Pixels, b: Pixels, amount: Pixels | float) -> Pixels:
    """From `a` (amount 0) to `b` (amount 1); a two-dimensional amount is one weight per pixel."""
    weight = np.asarray(amount, np.float32)
    if weight.ndim == 2:
        weight = weight[..., None]
    return np.asarray(a + (b - a) * weight, np.float32)
