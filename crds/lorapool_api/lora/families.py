"""Families of base models, as far as an adapter's modules or metadata give one away. They only word messages."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from lorapool_api.lora.layouts.keys import TEXT_ENCODER_2, TRANSFORMER, UNET


class Family(StrEnum):
    """Bases whose modules have the same names and shapes."""

    SD1 = "SD 1.x"
    SD2 = "SD 2.x"
    SDXL = "SDXL"
    SD3 = "SD 3.x"
    FLUX = "Flux"
    FLUX_2 = "Flux.2"
    QWEN_IMAGE = "Qwen-Image"
    HUNYUAN_IMAGE = "HunyuanImage"
    HUNYUAN_VIDEO = "HunyuanVideo"
    WAN = "Wan"
    Z_IMAGE = "Z-Image"
    LUMINA_2 = "Lumina 2"
    KREA_2 = "Krea 2"
    IDEOGRAM_4 = "Ideogram 4"
    LTX_VIDEO = "LTX-Video"


# Width of the text states that cross-attention reads in a UNet, and of the states of a transformer.
TEXT_WIDTHS: Final = {768: Family.SD1, 1024: Family.SD2, 2048: Family.SDXL}
_WIDTHS: Final = {1536: Family.SD3, 2432: Family.SD3, 3072: Family.FLUX}
# Names that no other of these families has, of diffusers' classes and of the original code. Flux and HunyuanVideo share
# most of theirs, and so do Flux and Qwen-Image: Flux has 19 double and 38 single blocks, HunyuanVideo 20 and 40.
_NAMES: Final = (
    (re.compile(r"(single|double)_stream_modulation_|time_guidance_embed_"), Family.FLUX_2),
    (re.compile(r"single_transformer_blocks_\d+_attn_to_(qkv_mlp_proj|out)$"), Family.FLUX_2),
    (re.compile(r"transformer_blocks_\d+_ff(_context)?_linear_(in|out)$"), Family.FLUX_2),
    (re.compile(r"text_fusion_|transformer_blocks_\d+_(attn_to_gate|ff_(gate|up|down))$"), Family.KREA_2),
    (re.compile(r"(layers|noise_refiner|context_refiner)_\d+_(attn_|norm1_|feed_forward_linear_)"), Family.LUMINA_2),
    (re.compile(r"layers_\d+_adaln_modulation$"), Family.IDEOGRAM_4),
    (re.compile(r"blocks_\d+_(attn[12]|self_attn|cross_attn|ffn)_"), Family.WAN),
    (
        re.compile(r"(layers|noise_refiner|context_refiner)_\d+_(attention|feed_forward|adaLN_modulation)_"),
        Family.Z_IMAGE,
    ),
    (re.compile(r"transformer_blocks_\d+_(img|txt)_(mlp|mod)_"), Family.QWEN_IMAGE),
    (re.compile(r"(context_embedder_token_refiner|txt_in_individual_token_refiner)_"), Family.HUNYUAN_VIDEO),
    (re.compile(r"(double|single)_blocks_\d+_\w*(mlp_fc[12]|mod_linear|modulation_linear)$"), Family.HUNYUAN_VIDEO),
    (re.compile(r"single_transformer_blocks_(38|39)_"), Family.HUNYUAN_VIDEO),
    (re.compile(r"transformer_blocks_\d+_attn[12]_"), Family.LTX_VIDEO),
)
# Rows for each input of modules that Flux and Flux.2 call alike: Flux.2's MLPs are gated, and three times as wide.
_GATED: Final = (
    (re.compile(r"single_blocks_\d+_linear1$"), 9),
    (re.compile(r"double_blocks_\d+_(img|txt)_mlp_0$"), 6),
)
_LTX_WIDTH: Final = 2048
# HunyuanImage has HunyuanVideo's names and wider states: what its modules read is a multiple of this.
_HUNYUAN_IMAGE_WIDTH: Final = 3584
_FLUX_DOUBLE_BLOCKS: Final = 19
_BLOCK: Final = re.compile(r"transformer_blocks_(\d{1,4})_")

# `modelspec.architecture` (Stability AI's model metadata standard) and `ss_base_model_version` (kohya's trainer).
_HINTS: Final = (
    (re.compile(r"stable-diffusion-xl|sdxl"), Family.SDXL),
    (re.compile(r"stable-diffusion-v1|sd_v1|sd_1"), Family.SD1),
    (re.compile(r"stable-diffusion-v2|sd_v2|sd_2"), Family.SD2),
    (re.compile(r"stable-diffusion-3|sd3"), Family.SD3),
    (re.compile(r"flux"), Family.FLUX),
    (re.compile(r"qwen-?_?image"), Family.QWEN_IMAGE),
    (re.compile(r"hunyuan-?_?image"), Family.HUNYUAN_IMAGE),
    (re.compile(r"hunyuan-?_?video"), Family.HUNYUAN_VIDEO),
    (re.compile(r"\bwan"), Family.WAN),
    (re.compile(r"z-?_?image"), Family.Z_IMAGE),
    (re.compile(r"\bltx"), Family.LTX_VIDEO),
)
_HINT_KEYS: Final = ("modelspec.architecture", "ss_base_model_version")

Widths = Mapping[tuple[str, str], int | None]
"""(component, module with underscores) -> the width of what it reads."""


def is_gated_flux(module: str, outputs: int, inputs: int) -> bool:
    """Whether a module of the original layout, `_` for `.`, has the rows of Flux.2, and not those of Flux."""
    return any(outputs == rows * inputs and pattern.match(module) for pattern, rows in _GATED)


def family_of_modules(widths: Widths) -> Family | None:
    """The family that has modules of these names and widths, where only one has."""
    if named := _named(widths):
        return named
    for (component, module), width in widths.items():
        if component == UNET and module.endswith("attn2_to_k"):
            return TEXT_WIDTHS.get(width or 0)
    if any(component == UNET and re.search(r"transformer_blocks_[2-9]_", module) for component, module in widths):
        return Family.SDXL  # the others' blocks of attention are one deep
    if any(module.startswith("single_transformer_blocks_") for _, module in widths):
        return Family.FLUX
    if any(
        _WIDTHS.get(width or 0) is Family.FLUX and _block(m) >= _FLUX_DOUBLE_BLOCKS for (_, m), width in widths.items()
    ):
        return Family.QWEN_IMAGE
    if any(component == TRANSFORMER for component, _ in widths):
        return next((_WIDTHS[w] for w in widths.values() if w in _WIDTHS), None)
    if widths and all(component.startswith("text_encoder") for component, _ in widths):
        return Family.SDXL if any(c == TEXT_ENCODER_2 and "layers_" in m for c, m in widths) else None
    return None


def _named(widths: Widths) -> Family | None:
    """By a name that only one family has."""
    for (component, module), width in widths.items():
        if component.startswith("text_encoder"):
            continue
        family = next((family for pattern, family in _NAMES if pattern.match(module)), None)
        if family is Family.HUNYUAN_VIDEO and width and width % _HUNYUAN_IMAGE_WIDTH == 0:
            return Family.HUNYUAN_IMAGE
        if family is not None and (family is not Family.LTX_VIDEO or width == _LTX_WIDTH):
            return family
    return None


def _block(module: str) -> int:
    match = _BLOCK.match(module)
    return int(match[1]) if match else -1


def family_in_metadata(metadata: Mapping[str, str]) -> Family | None:
    """What the file's trainer wrote about its base."""
    said = " ".join(metadata.get(key, "")[:200] for key in _HINT_KEYS).lower()
    return next((family for pattern, family in _HINTS if pattern.search(said)), None)
