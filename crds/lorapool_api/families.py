"""Families of base models, as far as an adapter's modules or metadata give one away. They only word messages."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from lorapool_api.keys import TEXT_ENCODER_2, TRANSFORMER, UNET


class Family(StrEnum):
    """Bases whose modules have the same names and shapes."""

    SD1 = "SD 1.x"
    SD2 = "SD 2.x"
    SDXL = "SDXL"
    SD3 = "SD 3.x"
    FLUX = "Flux"


# Width of the text states that cross-attention reads in a UNet, and of the states of a transformer.
TEXT_WIDTHS: Final = {768: Family.SD1, 1024: Family.SD2, 2048: Family.SDXL}
_WIDTHS: Final = {1536: Family.SD3, 2432: Family.SD3, 3072: Family.FLUX}

# `modelspec.architecture` (Stability AI's model metadata standard) and `ss_base_model_version` (kohya's trainer).
_HINTS: Final = (
    (re.compile(r"stable-diffusion-xl|sdxl"), Family.SDXL),
    (re.compile(r"stable-diffusion-v1|sd_v1|sd_1"), Family.SD1),
    (re.compile(r"stable-diffusion-v2|sd_v2|sd_2"), Family.SD2),
    (re.compile(r"stable-diffusion-3|sd3"), Family.SD3),
    (re.compile(r"flux"), Family.FLUX),
)
_HINT_KEYS: Final = ("modelspec.architecture", "ss_base_model_version")

Widths = Mapping[tuple[str, str], int | None]
"""(component, module with underscores) -> the width of what it reads."""


def family_of_modules(widths: Widths) -> Family | None:
    """The family that has modules of these names and widths, where only one has."""
    for (component, module), width in widths.items():
        if component == UNET and module.endswith("attn2_to_k"):
            return TEXT_WIDTHS.get(width or 0)
    if any(component == UNET and re.search(r"transformer_blocks_[2-9]_", module) for component, module in widths):
        return Family.SDXL  # the others' blocks of attention are one deep
    if any(module.startswith("single_transformer_blocks_") for _, module in widths):
        return Family.FLUX
    if any(component == TRANSFORMER for component, _ in widths):
        return next((_WIDTHS[w] for w in widths.values() if w in _WIDTHS), None)
    if widths and all(component.startswith("text_encoder") for component, _ in widths):
        return Family.SDXL if any(c == TEXT_ENCODER_2 and "layers_" in m for c, m in widths) else None
    return None


def family_in_metadata(metadata: Mapping[str, str]) -> Family | None:
    """What the file's trainer wrote about its base."""
    said = " ".join(metadata.get(key, "")[:200] for key in _HINT_KEYS).lower()
    return next((family for pattern, family in _HINTS if pattern.search(said)), None)
