"""Which family a base is of, by what its own files and its name say."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from lorapool_api.rules.usual import UsualRequest
from lorapool_runtime.engine.diffusers.families.table import FAMILIES, SD2, SDXL_REFINER
from lorapool_runtime.engine.diffusers.families.traits import FamilyDefaults, FamilyTraits, Task

# Width of the text states that SD 2.x's cross-attention reads; SD 1.x's has 768.
_SD2_WIDTH: Final = 1024
# In the names of bases that were distilled, of SD, SDXL, SD3.5 and Z-Image: nothing in their files tells.
_DISTILLED: Final = "turbo"


def family_of(index: Mapping[str, Any], denoiser: Mapping[str, Any], name: str = "") -> FamilyTraits | None:
    """The family of a base; None where the table has none.

    Args:
        index: its `model_index.json`.
        denoiser: the configuration of its unet or transformer.
        name: of its repository or folder.
    """
    found = _by_class(index, denoiser)
    if found is None or found.distilled is None:
        return found
    return found.distilled if _is_distilled(index, denoiser, name) else found


def _by_class(index: Mapping[str, Any], denoiser: Mapping[str, Any]) -> FamilyTraits | None:
    class_name = str(index.get("_class_name"))
    if index.get("requires_aesthetics_score") and class_name in SDXL_REFINER.pipelines.values():
        return SDXL_REFINER
    if class_name == _loaded(SD2) and denoiser.get("cross_attention_dim") == _SD2_WIDTH:
        return SD2
    return next((family for family in FAMILIES if _loaded(family) == class_name), None)


def _is_distilled(index: Mapping[str, Any], denoiser: Mapping[str, Any], name: str) -> bool:
    if index.get("_class_name") == "FluxPipeline":
        return denoiser.get("guidance_embeds") is False
    if index.get("_class_name") == "HunyuanImagePipeline":
        return bool(denoiser.get("guidance_embeds"))
    return bool(index.get("is_distilled")) or _DISTILLED in name.lower()


def _loaded(family: FamilyTraits) -> str:
    """The class that a repository of this family names."""
    return family.pipelines[family.first_task]


def unlisted(class_name: str) -> FamilyTraits:
    """What a base is taken for whose class the table does not have."""
    return FamilyTraits(class_name, {Task.TEXT_TO_IMAGE: class_name}, FamilyDefaults(25, 5.0), side_multiple=8)


def sized(family: FamilyTraits, side: int | None) -> FamilyTraits:
    """The family with the side in pixels that the base was trained for, where its configuration says one."""
    if side is None or not family.is_sized:
        return family
    return replace(family, defaults=replace(family.defaults, side=side))


def tasks_of(family: FamilyTraits) -> tuple[Task, ...]:
    """What the family can do, in the order of the enum."""
    return tuple(task for task in Task if task in family.pipelines)


def usual_of(family: FamilyTraits) -> UsualRequest:
    """What a request gets that does not say, but for the sampler."""
    defaults = family.defaults
    return UsualRequest(defaults.steps, defaults.guidance_scale, defaults.side, family.side_multiple)
