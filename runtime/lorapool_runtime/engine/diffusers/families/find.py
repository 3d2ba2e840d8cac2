"""Which family a base is of, by what its own files say."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from lorapool_runtime.engine.diffusers.families.table import FAMILIES, FLUX_SCHNELL, SD2, SDXL_REFINER
from lorapool_runtime.engine.diffusers.families.traits import FamilyDefaults, FamilyTraits, Task

# Width of the text states that SD 2.x's cross-attention reads; SD 1.x's has 768.
_SD2_WIDTH: Final = 1024


def family_of(index: Mapping[str, Any], denoiser: Mapping[str, Any]) -> FamilyTraits | None:
    """The family of a base; None where the table has none.

    Args:
        index: its `model_index.json`.
        denoiser: the configuration of its unet or transformer.
    """
    class_name = str(index.get("_class_name"))
    if index.get("requires_aesthetics_score") and class_name in SDXL_REFINER.pipelines.values():
        return SDXL_REFINER
    found = next((family for family in FAMILIES if _loaded(family) == class_name), None)
    match class_name:
        case "StableDiffusionPipeline" if denoiser.get("cross_attention_dim") == _SD2_WIDTH:
            return SD2
        case "FluxPipeline" if denoiser.get("guidance_embeds") is False:
            return FLUX_SCHNELL
    return found


def _loaded(family: FamilyTraits) -> str:
    """The class that a repository of this family names."""
    return family.pipelines[family.first_task]


def unlisted(class_name: str) -> FamilyTraits:
    """What a base is taken for whose class the table does not have."""
    return FamilyTraits(class_name, {Task.TEXT_TO_IMAGE: class_name}, FamilyDefaults(25, 5.0), side_multiple=8)


def sized(family: FamilyTraits, side: int | None) -> FamilyTraits:
    """The family with the side in pixels that the base was trained for, where its configuration says one."""
    return family if side is None else replace(family, defaults=replace(family.defaults, side=side))


def tasks_of(family: FamilyTraits) -> tuple[Task, ...]:
    """What the family can do, in the order of the enum."""
    return tuple(task for task in Task if task in family.pipelines)
