"""What the files of a request say of how they were made: pure."""

from dataclasses import dataclass
from typing import Final

from lorapool_api.names import adapter_of
from lorapool_api.rules.recipes.infotext import SAMPLERS, PictureRecipe, RecipeAdapter, infotext
from lorapool_api.rules.undeclared import undeclared_repo
from lorapool_api.wire.request import ImageFormat
from lorapool_api.wire.weighting.scale import Weighting, scale_text
from lorapool_runtime.adapters.file import AdapterFile, ScaledAdapter
from lorapool_runtime.app.encoded.encode import can_hold
from lorapool_runtime.engine.contract import Recipe, RenderRequest

# Of the texts that a reply repeats; the files have them in any case.
_REPLY_CHARACTERS: Final = 100_000


@dataclass(frozen=True)
class RecipeTexts:
    """One text for each image, None where its file has none.

    Attributes:
        in_reply: those that the reply repeats.
    """

    in_files: tuple[str | None, ...]
    in_reply: tuple[str | None, ...]
    warnings: tuple[str, ...] = ()


def no_texts(images: int) -> RecipeTexts:
    """Of a request whose files say nothing."""
    return RecipeTexts((None,) * images, (None,) * images)


def recipe_texts(
    request: RenderRequest[AdapterFile], format_: ImageFormat, base: str, revision: str, version: str
) -> RecipeTexts:
    """The texts of a request whose files shall say how they were made.

    Args:
        base, revision: label and commit of the base model.
        version: of lorapool.
    """
    recipe = request.recipe
    adapters = tuple(map(_adapter, request.stack))
    texts = [infotext(_recipe(recipe, seed, adapters, base, revision, version)) for seed in recipe.seeds]
    if not all(can_hold(format_, text) for text in texts):
        none = no_texts(recipe.images)
        return RecipeTexts(none.in_files, none.in_reply, (f"{format_} has no room for the recipe: ask for png",))
    short = sum(map(len, texts)) <= _REPLY_CHARACTERS
    return RecipeTexts(tuple(texts), tuple(texts) if short else (None,) * recipe.images)


def _adapter(use: ScaledAdapter[AdapterFile]) -> RecipeAdapter:
    key, scale = adapter_of(use.key), use.scale
    first, said = (scale.first, scale_text(scale)) if isinstance(scale, Weighting) else (scale, None)
    return RecipeAdapter(undeclared_repo(key) or key, use.adapter.sha256, first, said)


def _recipe(
    recipe: Recipe, seed: int, adapters: tuple[RecipeAdapter, ...], base: str, revision: str, version: str
) -> PictureRecipe:
    start, hires, spacing = recipe.start, recipe.hires, recipe.timestep_spacing
    return PictureRecipe(
        prompt=recipe.prompt,
        negative_prompt=recipe.negative_prompt,
        seed=seed,
        width=hires.width if hires else recipe.width,
        height=hires.height if hires else recipe.height,
        base=base,
        revision=revision,
        steps=recipe.steps,
        sampler=None if recipe.scheduler is None else SAMPLERS[recipe.scheduler],
        guidance_scale=recipe.guidance_scale,
        prompt_syntax=recipe.prompt_syntax,
        timestep_spacing=None if spacing is None else spacing.value,
        strength=start.strength if start else hires.strength if hires else None,
        is_masked=start is not None and start.mask is not None,
        hires_scale=recipe.width / hires.width if hires else None,
        hires_steps=hires.steps if hires else None,
        hires_upscaler=hires.upscaler.value if hires else None,
        adapters=adapters,
        controls=tuple(f"{control.name} {control.scale:g}" for control in recipe.controls),
        version=f"lorapool {version}",
    )
