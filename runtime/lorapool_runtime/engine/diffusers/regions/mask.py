"""A mask at the places where a denoiser works: cells of a grid, or tokens of a sequence."""

import math

import numpy as np
import torch
from PIL.Image import Image
from torch.nn import functional

from lorapool_runtime.engine.diffusers.families.traits import Places


class Mask:
    """Where in the picture an adapter counts. A cell that lies partly in it counts by that share.

    Attributes:
        share: of the picture that is white: how much what has no place in it counts.
        places: which numbers are of which part of the picture.
    """

    def __init__(self, picture: Image, cell: int, places: Places) -> None:
        """
        Args:
            picture: 8-bit grey, of the size of the result: white is 1, black 0.
            cell: pixels of a side of the denoiser's cells, or tokens.
        """
        pixels = torch.from_numpy(np.array(picture, dtype=np.float32)) / 255
        self.share = float(pixels.double().mean())
        self._pixels = pixels[None, None]
        self._size = (pixels.shape[0] // cell, pixels.shape[1] // cell)
        self.places = places
        self._made: dict[tuple[object, ...], torch.Tensor] = {}

    def over(self, output: torch.Tensor) -> torch.Tensor:
        """What counts where in what a module makes, in its dtype; it is multiplied with that.

        Args:
            output: (rows, channels, height, width), (rows, tokens, channels), or without a place.
        """
        shape = tuple(output.shape[2:]) if output.dim() == 4 else tuple(output.shape[1:-1])
        key = (output.dim(), shape, output.dtype, output.device)
        if key not in self._made:
            made = self._grid(*shape)[None, None] if output.dim() == 4 else self._of_tokens(shape)
            self._made[key] = made.to(output.device, output.dtype)
        return self._made[key]

    def _of_tokens(self, shape: tuple[int, ...]) -> torch.Tensor:
        """(tokens, 1); (1,) for what has no place."""
        everywhere = torch.full((1,), self.share)
        if len(shape) != 1:
            return everywhere
        (tokens,) = shape
        if self.places is Places.TEXT_FIRST:
            words = tokens - math.prod(self._size)
            if words < 0:
                return everywhere
            return torch.cat([everywhere.expand(words), self._grid(*self._size).flatten()])[:, None]
        size = self._size
        while math.prod(size) > tokens:
            # As a convolution of stride 2 has it.
            size = (-(-size[0] // 2), -(-size[1] // 2))
        return self._grid(*size).flatten()[:, None] if math.prod(size) == tokens else everywhere

    def _grid(self, height: int, width: int) -> torch.Tensor:
        return functional.adaptive_avg_pool2d(self._pixels, (height, width))[0, 0]
