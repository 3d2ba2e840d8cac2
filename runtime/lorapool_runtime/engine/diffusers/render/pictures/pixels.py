"""From what a pipeline decoded to pictures on the host."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray


@dataclass(frozen=True)
class Pictures:
    """Pictures of one size on the host.

    Attributes:
        pixels: pictures x height x width x 3.
        finite: of each picture, whether all of its numbers were.
    """

    pixels: NDArray[np.uint8]
    finite: tuple[bool, ...]


def are_finite(made: torch.Tensor) -> torch.Tensor:
    """Of each picture, on its device."""
    return made.flatten(1).isfinite().all(dim=1)


def coloured(pixels: torch.Tensor) -> torch.Tensor:
    """(pictures, 3, height, width): a fourth channel says how opaque a picture is, which replies do not."""
    return pixels[:, :3]


def packed(made: torch.Tensor, finite: torch.Tensor) -> torch.Tensor:
    """All that the host wants to know, in one copy of a quarter of the bytes; the host works on nothing meanwhile.

    Args:
        made: (pictures, 3, height, width) from 0 to 1.
        finite: (pictures,), on the same device.

    Returns:
        (pictures, 3 height width + 1) bytes: the pixels by rows, then 1 where they are finite.
    """
    pixels = made.float().clamp(0, 1).mul(255).round().to(torch.uint8).permute(0, 2, 3, 1)
    return torch.cat([pixels.flatten(1), finite.to(torch.uint8)[:, None]], dim=1)


def unpacked(copied: Callable[[], torch.Tensor], size: Sequence[int]) -> Pictures:
    """What `packed` made of pictures of that (height, width), once it is on the host."""
    rows = copied().numpy()
    return Pictures(rows[:, :-1].reshape(len(rows), *size, 3), tuple(bool(flag) for flag in rows[:, -1]))
