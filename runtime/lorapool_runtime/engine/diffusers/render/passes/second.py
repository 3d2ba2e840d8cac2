"""From the first pass of a picture to what its second pass begins with."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional

from lorapool_api.wire.request import Upscaler
from lorapool_runtime.engine.contract import Recipe
from lorapool_runtime.engine.diffusers.families.traits import FamilyTraits, Latents
from lorapool_runtime.engine.passes import Hires
from lorapool_runtime.errors import RecipeError

# As `run.Watch`.
_Watch = Callable[[int, int, torch.Tensor | None, torch.Tensor, Any], None]


class StepsOfPasses:
    """Counts the steps of both passes as those of one run."""

    def __init__(self, watch: _Watch, hires: Hires) -> None:
        self._watch = watch
        self._second = max(1, int(hires.steps * hires.strength))
        self._first = 0

    def first(self, done: int, of: int, before: torch.Tensor | None, latents: torch.Tensor, scheduler: Any) -> None:
        self._first = of
        self._watch(done, of + self._second, before, latents, scheduler)

    def second(self, done: int, of: int, before: torch.Tensor | None, latents: torch.Tensor, scheduler: Any) -> None:
        self._watch(self._first + done, self._first + of, before, latents, scheduler)


def check_hires(family: FamilyTraits, hires: Hires) -> None:
    """Raises: RecipeError where bases of the family do not do that."""
    if family.edits:
        raise RecipeError(f"{family.name} edits pictures: it does no second pass over one")
    if hires.upscaler is Upscaler.LATENT and family.latents is not Latents.GRID:
        raise RecipeError(f"latents of {family.name} are no grid: use the upscaler {Upscaler.PIXEL}")


def larger_pictures(pixels: NDArray[np.uint8], recipe: Recipe) -> list[Image.Image]:
    """Each as large as the recipe says, by Lanczos' filter."""
    size = (recipe.width, recipe.height)
    return [Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS) for picture in pixels]


def larger_latents(latents: torch.Tensor, recipe: Recipe, hires: Hires) -> torch.Tensor:
    """As many as the recipe's size takes, bilinear."""
    height = latents.shape[-2] * recipe.height // hires.height
    width = latents.shape[-1] * recipe.width // hires.width
    return functional.interpolate(latents.float(), (height, width), mode="bilinear").to(latents.dtype)
