"""Headers of adapter files, and what they are for."""

import pytest
from tests import make

from lorapool_api.kinds.adapter import AdapterFormat
from lorapool_api.lora.facts import AdapterFacts, read_facts
from lorapool_api.lora.header import FactsError, parse_header

Shapes = dict[str, tuple[int, ...]]
MODULE = "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"
FLAT = MODULE.replace(".", "_")
BASE: dict[str, Shapes] = {
    "unet": {MODULE: (64, 2048), "conv_in": (32, 4, 3, 3)},
    "text_encoder": {"text_model.encoder.fc1": (8, 4)},
}


def facts_of(tensors: Shapes, dtype: str = "F16") -> AdapterFacts:
    return read_facts(parse_header(*make.safetensors_header(tensors, dtype)))


def refusal_of(tensors: Shapes, dtype: str = "F16") -> FactsError:
    with pytest.raises(FactsError) as refusal:
        facts_of(tensors, dtype)
    return refusal.value


def pair(down: str, up: str, rank: int = 4, width: int = 2048, out: int = 64) -> Shapes:
    return {down: (rank, width), up: (out, rank)}


LAYOUTS = {
    "diffusers": (AdapterFormat.DIFFUSERS, pair(f"unet.{MODULE}.lora_A.weight", f"unet.{MODULE}.lora_B.weight")),
    "diffusers, down and up": (
        AdapterFormat.DIFFUSERS,
        pair(f"unet.{MODULE}.lora.down.weight", f"unet.{MODULE}.lora.up.weight"),
    ),
    "old diffusers": (
        AdapterFormat.DIFFUSERS,
        pair(
            f"{MODULE.removesuffix('.to_k')}.processor.to_k_lora.down.weight",
            f"{MODULE.removesuffix('.to_k')}.processor.to_k_lora.up.weight",
        ),
    ),
    "peft": (
        AdapterFormat.PEFT,
        pair(f"base_model.model.{MODULE}.lora_A.weight", f"base_model.model.{MODULE}.lora_B.weight"),
    ),
    "kohya": (
        AdapterFormat.KOHYA,
        pair(f"lora_unet_{FLAT}.lora_down.weight", f"lora_unet_{FLAT}.lora_up.weight")
        | {f"lora_unet_{FLAT}.alpha": ()},
    ),
    "ComfyUI, original block names": (
        AdapterFormat.DIFFUSERS,
        pair(
            "diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.lora_down.weight",
            "diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.lora_up.weight",
        ),
    ),
    "kohya, original block names": (
        AdapterFormat.KOHYA,
        pair(
            "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k.lora_down.weight",
            "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k.lora_up.weight",
        ),
    ),
}


LORA = pair("lora_unet_x.lora_down.weight", "lora_unet_x.lora_up.weight", width=8, out=8)
GLORA: Shapes = {
    "lora_unet_x.a1.weight": (8, 4),
    "lora_unet_x.a2.weight": (4, 8),
    "lora_unet_x.b1.weight": (8, 4),
    "lora_unet_x.b2.weight": (4, 8),
}


def loha(width: int, core: bool = False) -> Shapes:
    made: Shapes = {}
    for i in (1, 2):
        made[f"lora_unet_{FLAT}.hada_w{i}_a"] = (4, 64) if core else (64, 4)
        made[f"lora_unet_{FLAT}.hada_w{i}_b"] = (4, width)
        if core:
            made[f"lora_unet_{FLAT}.hada_t{i}"] = (4, 4, 1, 1)
    return made


def lokr(width: int) -> Shapes:
    return {f"lora_unet_{FLAT}.lokr_w1": (8, 8), f"lora_unet_{FLAT}.lokr_w2": (8, width // 8)}
