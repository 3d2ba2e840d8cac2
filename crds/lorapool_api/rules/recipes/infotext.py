"""What a picture was made with, as the text that A1111's WebUI puts into files, and that tools read: pure.

Its `create_infotext` and `parse_generation_parameters` (modules/processing.py, modules/infotext_utils.py) are the
format: the prompt, `Negative prompt: ...`, and a last line of `Name: value` by commas, where a value with a comma, a
colon or a line break is a text of JSON.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from lorapool_api.kinds.serving import PromptSyntax, SchedulerName

# What a file of adapters is known by on sites that list them: the beginning of its sha256.
HASH_DIGITS: Final = 10
SAMPLERS: Final[Mapping[SchedulerName, str]] = {
    SchedulerName.EULER_A: "Euler a",
    SchedulerName.EULER: "Euler",
    SchedulerName.DDIM: "DDIM",
    SchedulerName.DPMPP_2M: "DPM++ 2M",
    SchedulerName.DPMPP_2M_KARRAS: "DPM++ 2M Karras",
    SchedulerName.HEUN: "Heun",
    SchedulerName.LCM: "LCM",
    SchedulerName.PNDM: "PNDM",
    SchedulerName.TCD: "TCD",
    SchedulerName.UNIPC: "UniPC",
}
_QUOTED: Final = frozenset(',:"\n')
_WEIGHING: Final = frozenset("()[]")
_SHA256_DIGITS: Final = 64


@dataclass(frozen=True)
class RecipeAdapter:
    """An adapter of a recipe.

    Attributes:
        name: as a request may name it.
        scale: that of the first step; None: its own.
        weighting: for people, where one number does not say it.
    """

    name: str
    sha256: str
    scale: float | None
    weighting: str | None = None


@dataclass(frozen=True)
class PictureRecipe:
    """All that one picture was made with; what is None is not known, or does not apply.

    Attributes:
        prompt: without tags of adapters.
        revision: of the base: a commit, or the sha256 of its file.
        width, height: in pixels, of the first pass where there are two.
        strength: of image-to-image or of the second pass.
        hires_scale, hires_steps, hires_upscaler: of the second pass.
        controls: names and scales of the pictures that controlled it.
    """

    prompt: str
    negative_prompt: str
    seed: int
    width: int
    height: int
    base: str
    revision: str
    steps: int | None = None
    sampler: str | None = None
    guidance_scale: float | None = None
    prompt_syntax: PromptSyntax | None = None
    timestep_spacing: str | None = None
    strength: float | None = None
    is_masked: bool = False
    hires_scale: float | None = None
    hires_steps: int | None = None
    hires_upscaler: str | None = None
    adapters: Sequence[RecipeAdapter] = ()
    controls: Sequence[str] = ()
    version: str = "lorapool"


def infotext(recipe: PictureRecipe, *, has_tags: bool = True) -> str:
    """The text.

    Args:
        has_tags: whether adapters are named in tags behind the prompt, as those who read it expect, and as `/sdapi/v1`
            takes them; false for a prompt that has them.
    """
    settings = {
        "Steps": recipe.steps,
        "Sampler": recipe.sampler,
        "CFG scale": recipe.guidance_scale,
        "Seed": recipe.seed,
        "Size": f"{recipe.width}x{recipe.height}",
        **_base(recipe),
        "Denoising strength": recipe.strength,
        "Mask": "yes" if recipe.is_masked else None,
        "Hires upscale": recipe.hires_scale,
        "Hires steps": recipe.hires_steps,
        "Hires upscaler": recipe.hires_upscaler,
        "Timestep spacing": recipe.timestep_spacing,
        "Emphasis": _emphasis(recipe),
        "Controls": ", ".join(recipe.controls) or None,
        "Lora hashes": ", ".join(f"{use.name}: {use.sha256[:HASH_DIGITS]}" for use in recipe.adapters) or None,
        "Lora weights": "; ".join(f"{use.name}: {use.weighting}" for use in recipe.adapters if use.weighting) or None,
        "Version": recipe.version,
    }
    tags = [_tag(use) for use in recipe.adapters if has_tags]
    lines = [" ".join([text for text in (_clean(recipe.prompt), *tags) if text])]
    if recipe.negative_prompt:
        lines.append(f"Negative prompt: {_clean(recipe.negative_prompt)}")
    said = (f"{name}: {_quoted(value)}" for name, value in settings.items() if value is not None)
    lines.append(", ".join(said))
    return "\n".join(lines)


def _tag(use: RecipeAdapter) -> str:
    return f"<lora:{use.name}>" if use.scale is None else f"<lora:{use.name}:{use.scale:g}>"


def _base(recipe: PictureRecipe) -> dict[str, str | None]:
    """A hash is that of a file; a commit is none, and no list of hashes has it."""
    is_hash = len(recipe.revision) == _SHA256_DIGITS
    return {
        "Model hash": recipe.revision[:HASH_DIGITS] if is_hash else None,
        "Model": recipe.base,
        "Model revision": None if is_hash else recipe.revision or None,
    }


def _emphasis(recipe: PictureRecipe) -> str | None:
    """The WebUI reads weights in brackets; its own word for a prompt that has none of them, where it has brackets."""
    has_brackets = not _WEIGHING.isdisjoint(recipe.prompt + recipe.negative_prompt)
    return "None" if recipe.prompt_syntax is PromptSyntax.PLAIN and has_brackets else None


def _quoted(value: object) -> str:
    text = _clean(f"{value:g}" if isinstance(value, float) else str(value))
    return text if _QUOTED.isdisjoint(text) else json.dumps(text, ensure_ascii=False)


def _clean(text: str) -> str:
    """A text without what no text of a file may hold: a NUL, and halves of characters."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()
