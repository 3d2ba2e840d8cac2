"""What the pipeline of a family is called with for a recipe."""

import inspect
import math
from collections.abc import Mapping
from typing import Any, Final

from lorapool_runtime.engine.contract import Recipe
from lorapool_runtime.engine.diffusers.families.traits import FamilyTraits, Guidance
from lorapool_runtime.engine.diffusers.render.schedulers import eta
from lorapool_runtime.engine.passes import Start
from lorapool_runtime.errors import RecipeError

# A pipeline that guides by a true scale does so only where there is a negative prompt; its authors' examples give this.
_NOTHING: Final = " "
# None takes these away; else they would be the pipeline's own: for two steps alone, or for 48.
_FOR_TWO_STEPS: Final = "intermediate_timesteps"
_GUIDANCE_OF_EACH_STEP: Final = "guidance_schedule"
_TAKEN_AWAY: Final = (_FOR_TWO_STEPS, _GUIDANCE_OF_EACH_STEP)
_TWO_STEPS: Final = 2


def arguments(family: FamilyTraits, recipe: Recipe, prompts: Mapping[str, Any]) -> dict[str, Any]:
    """All that a pipeline of the family might be called with, but for what a run adds.

    Args:
        prompts: what the pipeline is called with for the prompts.

    Raises:
        RecipeError: a size that the family cannot make, too few steps, or more pictures than it looks at.
    """
    _check_size(family, recipe)
    if recipe.steps < family.least_steps:
        raise RecipeError(f"{family.name} needs {family.least_steps} steps at least, not {recipe.steps}")
    return {
        **prompts,
        **_guidance(family, recipe, prompts),
        "width": recipe.width,
        "height": recipe.height,
        # Of exactly that size: some pipelines would make one of a list of sizes, and scale the picture.
        "use_resolution_binning": False,
        "max_area": recipe.width * recipe.height,
        "_auto_resize": False,
        # No other model writes the prompt anew.
        "use_pe": False,
        "enable_prompt_rewrite": False,
        "num_inference_steps": recipe.steps,
        **({} if recipe.steps == _TWO_STEPS else {_FOR_TWO_STEPS: None}),
        _GUIDANCE_OF_EACH_STEP: None,
        # Texts of a structured prompt would be drawn with fonts that the images do not have.
        "render_text_images": False,
        **eta(recipe.scheduler),
        **_start(family, recipe.start),
    }


def known_to(pipeline: Any, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Those arguments that the pipeline has: others lack for example a negative prompt. None says nothing."""
    known = inspect.signature(pipeline.__call__).parameters
    said = {name: value for name, value in wanted.items() if value is not None or name in _TAKEN_AWAY}
    return {name: value for name, value in said.items() if name in known}


def keep_size(pipeline: Any, family: FamilyTraits, recipe: Recipe) -> None:
    """A pipeline that scales sizes to an area is told this one; a little more, for it rounds sides down."""
    if family.scales_sizes:
        pipeline.default_sample_size = math.sqrt(recipe.width * recipe.height) * (1 + 1e-9) / pipeline.vae_scale_factor


def guide(pipeline: Any, family: FamilyTraits, recipe: Recipe) -> None:
    """A pipeline whose components guide gets new ones, of the strength that is asked for: they know the steps that they
    have done."""
    if family.guidance is not Guidance.GUIDER:
        return
    for name in ("guider", "ocr_guider"):
        if (own := getattr(pipeline, name)) is not None:
            is_on = recipe.guidance_scale > 1
            setattr(pipeline, name, own.new(guidance_scale=recipe.guidance_scale, enabled=is_on))


def unused(family: FamilyTraits, recipe: Recipe) -> str | None:
    """What of the recipe has no effect with a base of this family; None where all of it has."""
    if recipe.negative_prompt and not family.negative_prompts:
        return f"{family.name} reads no negative prompt: it had no effect"
    return None


def _guidance(family: FamilyTraits, recipe: Recipe, prompts: Mapping[str, Any]) -> dict[str, Any]:
    if family.guidance is Guidance.EMBEDDED:
        return dict.fromkeys(("guidance_scale", "distilled_guidance_scale"), recipe.guidance_scale)
    if family.guidance is not Guidance.TRUE_SCALE:
        return {"guidance_scale": recipe.guidance_scale}
    negative = prompts.get("negative_prompt") or _NOTHING
    return {"true_cfg_scale": recipe.guidance_scale, "negative_prompt": negative}


def _check_size(family: FamilyTraits, recipe: Recipe) -> None:
    for name, side in (("width", recipe.width), ("height", recipe.height)):
        if side % family.side_multiple:
            raise RecipeError(f"{name} {side} is not a multiple of {family.side_multiple}, which {family.name} needs")


def _start(family: FamilyTraits, start: Start | None) -> Mapping[str, Any]:
    if start is None:
        return {}
    sent, most = len(start.images), family.most_pictures
    if sent > most:
        raise RecipeError(f"{family.name} begins with {'one picture' if most == 1 else f'{most} pictures'}, not {sent}")
    mask = {} if start.mask is None else {"mask_image": start.mask}
    return {"image": list(start.images) if start.beside else start.image, "strength": start.strength, **mask}
