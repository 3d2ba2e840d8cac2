"""Previews: latents to colours by one small matrix, before the picture is done.

A VAE's latents hold brightness and colour of their 8 x 8 pixels almost linearly. The matrix is fitted to the pictures
that this base has made, so it is right for any VAE.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from lorapool_runtime.engine.diffusers.host_threads import one_thread
from lorapool_runtime.engine.diffusers.render.pictures.pixels import Pictures


class LatentPreview:
    """A linear map from latents to colours, fitted to pictures of this base, all on the host. Any thread."""

    def __init__(self, square: int = 2) -> None:
        """`square`: how many latents wide and high a token is, where latents are tokens."""
        self._square = square
        # Replaced as a whole: one thread fits while others decode.
        self._fitted = _Fitted(None, 0)

    @property
    def is_fitted(self) -> bool:
        """Whether it has seen a picture of a usual size."""
        return self._fitted.samples > 100

    def fit(self, latents: torch.Tensor, pixels: NDArray[np.floating[Any]]) -> None:
        """Fit to a picture; latents that are in no known order teach nothing.

        Args:
            latents: (channels, h, w), or tokens: of squares of 2 x 2 as (h/2 w/2, 4 channels).
            pixels: (8 h, 8 w, 3) from 0 to 1, or a like multiple.
        """
        grid = in_grid(latents, pixels.shape[1], pixels.shape[0], self._square)
        if grid is None:
            return
        latents = grid
        height, width = latents.shape[1:]
        if pixels.shape[0] % height or pixels.shape[1] % width or height * width < self._fitted.samples:
            return
        known = torch.from_numpy(np.ascontiguousarray(pixels, dtype=np.float32)).permute(2, 0, 1)
        small = torch.nn.functional.adaptive_avg_pool2d(known, (height, width))
        if not torch.isfinite(small).all():
            return
        colours = torch.linalg.lstsq(_with_one(latents), small.reshape(3, -1).T).solution
        self._fitted = _Fitted(colours, height * width)

    @one_thread()
    def learn(self, pictures: Callable[[], Pictures], latents: Callable[[], torch.Tensor]) -> Pictures:
        """The pictures, once they are there; what the first one's latents mean is learned of it."""
        made = pictures()
        if made.finite[0]:
            self.fit(latents(), made.pixels[0] / np.float32(255))
        return made

    @one_thread()
    def decode(self, latents: torch.Tensor, size: tuple[int, int]) -> Image.Image | None:
        """A rough picture of that (width, height); None before anything was learned."""
        grid, fitted = in_grid(latents, *size, self._square), self._fitted.colours
        if fitted is None or grid is None or len(fitted) != len(grid) + 1:
            return None
        colours = (_with_one(grid) @ fitted).reshape(*grid.shape[1:], 3)
        pixels = (colours.clamp(0, 1) * 255).round().byte().numpy()
        return Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)


@dataclass(frozen=True)
class _Fitted:
    """From latents and a one to colours, (channels + 1, 3), and of how many positions that was learned."""

    colours: torch.Tensor | None
    samples: int


def in_grid(latents: torch.Tensor, width: int, height: int, square: int = 2) -> torch.Tensor | None:
    """The latents of a picture of that size in pixels as (channels, h, w); None where they are in no known order.

    Transformers such as Flux's pack squares of 2 x 2 into one token, (h/2 w/2, 4 channels), the channel slowest
    (diffusers, `FluxPipeline._pack_latents`); `square` is 1 where they do not.
    """
    if latents.dim() == 3:
        return latents
    if latents.dim() != 2 or latents.shape[1] % square**2:
        return None
    tokens, features = latents.shape
    rows = round(math.sqrt(tokens * height / width))
    if rows < 1 or tokens % rows:
        return None
    channels = features // square**2
    squares = latents.reshape(rows, tokens // rows, channels, square, square)
    return squares.permute(2, 0, 3, 1, 4).reshape(channels, square * rows, square * (tokens // rows))


def _with_one(latents: torch.Tensor) -> torch.Tensor:
    """(h w, channels + 1), float32."""
    flat = latents.detach().float().flatten(1).T
    return torch.cat([flat, torch.ones(len(flat), 1)], dim=1)


def predicted_x0(before: torch.Tensor | None, after: torch.Tensor, scheduler: Any) -> torch.Tensor:
    """The predicted x0 of a step: the picture without its noise.

    x0 = x - s (x' - x) / (s' - s) for noise levels s and s' before and after the step: exact for Euler steps, of
    noise that is added (arXiv:2206.00364, equation 3) as of noise that is mixed in (flow matching).

    Args:
        scheduler: its noise levels are read on the host, see `waitless`.
    """
    sigmas, index = getattr(scheduler, "host_sigmas", None), getattr(scheduler, "step_index", None)
    if before is None or sigmas is None or not index or index >= len(sigmas):
        return after
    this, following = float(sigmas[index - 1]), float(sigmas[index])
    if this == following:
        return after
    return before - (after - before) * (this / (following - this))
