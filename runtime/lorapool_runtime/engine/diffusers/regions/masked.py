"""A stack of which some adapters count in parts of the picture."""

from dataclasses import dataclass, replace
from typing import Any

from lorapool_api.wire.weighting.scale import at, times
from lorapool_runtime.engine.contract import Recipe
from lorapool_runtime.engine.diffusers.families.traits import FamilyTraits, Latents, Places
from lorapool_runtime.engine.diffusers.layers.switchboard import Stack
from lorapool_runtime.engine.diffusers.regions.apply import Region, check_masked
from lorapool_runtime.engine.diffusers.regions.mask import Mask
from lorapool_runtime.errors import RecipeError


@dataclass(frozen=True)
class MaskedStack:
    """A stack, taken apart by its masks.

    Attributes:
        everywhere: those without a mask.
        regions: those with one, for the denoiser.
        text: all of them, as text encoders have them: a masked one counts by the share that is white.
    """

    everywhere: Stack
    regions: tuple[Region, ...]
    text: Stack

    def regions_at(self, share: float) -> tuple[Region, ...]:
        """The regions as they are when that share of the steps is done."""
        return tuple(region._replace(scale=at(region.scale, share)) for region in self.regions)


def masked(stack: Stack, recipe: Recipe, family: FamilyTraits, pipeline: Any) -> MaskedStack:
    """The stack of a recipe that has masks.

    Raises:
        RecipeError: bases of this family take none, or one of the adapters.
    """
    places = family.places
    if places is None:
        raise RecipeError(f"adapters cannot be masked with {family.name}")
    cell = pipeline.vae_scale_factor * _side(family, pipeline)
    masks = [None if picture is None else Mask(picture, cell, places) for picture in recipe.masks]
    pairs = list(zip(stack, masks, strict=True))
    regions = tuple(Region(s.adapter, s.scale, mask) for s, mask in pairs if mask is not None)
    check_masked(regions)
    text = tuple(replace(s, scale=times(at(s.scale, 0), 1 if mask is None else mask.share)) for s, mask in pairs)
    return MaskedStack(tuple(s for s, mask in pairs if mask is None), regions, text)


def _side(family: FamilyTraits, pipeline: Any) -> int:
    """How many latents wide and high a token, or a cell of the first level, is."""
    if family.latents is Latents.PACKED:
        return 2
    if family.places is Places.GRID:
        return 1
    side: int = pipeline.transformer.config.patch_size  # it makes tokens of latents itself
    return side
