"""Files for Kolors: its UNet is built like SDXL's, and so are the names that trainers and ComfyUI use."""

from pathlib import Path

import pytest
import torch
from tests.runtime.formats.layouts.families import (
    AI_TOOLKIT,
    COMFY,
    KOHYA,
    Family,
    Shapes,
    Write,
    apart,
    by_diffusers,
    by_lorapool,
    modules_of,
    written,
)

ROUNDING = 1e-5
KOLORS = Family(
    "UNet2DConditionModel",
    "KolorsPipeline",
    (
        ("block_out_channels", (32, 64, 64)),
        ("down_block_types", ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D")),
        ("up_block_types", ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D")),
        ("transformer_layers_per_block", (1, 1, 2)),
        ("attention_head_dim", (2, 4, 4)),
        ("use_linear_projection", True),
        ("cross_attention_dim", 16),
        ("encoder_hid_dim", 24),
        ("encoder_hid_dim_type", "text_proj"),
        ("addition_embed_type", "text_time"),
        ("addition_time_embed_dim", 8),
        ("projection_class_embeddings_input_dim", 8 * 6 + 24),
    ),
)
UNET = written("unet.", "lora_A", "lora_B")
OLD = written("unet.", "lora.down", "lora.up")
# The original code's names, and the modules of diffusers that they are.
ORIGINAL: dict[str, str] = {
    "input_blocks.4.1.transformer_blocks.0.attn1.to_q": "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q",
    "input_blocks.8.1.transformer_blocks.1.attn2.to_k": "down_blocks.2.attentions.1.transformer_blocks.1.attn2.to_k",
    "middle_block.1.transformer_blocks.0.ff.net.2": "mid_block.attentions.0.transformer_blocks.0.ff.net.2",
    "output_blocks.0.1.transformer_blocks.0.attn1.to_out.0": (
        "up_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0"
    ),
    "output_blocks.5.1.proj_out": "up_blocks.1.attentions.2.proj_out",
}


def attention() -> Shapes:
    return {name: shape for name, shape in modules_of(KOLORS).items() if ".attentions." in name}


def original() -> Shapes:
    return {name: modules_of(KOLORS)[module] for name, module in ORIGINAL.items()}


@pytest.mark.parametrize(
    ("write", "original_names"),
    [(UNET, False), (OLD, False), (KOHYA, False), (KOHYA, True)],
    ids=["diffusers", "old diffusers", "kohya", "kohya, the original code's names"],
)
def test_a_layout_is_read_as_diffusers_reads_it(write: Write, *, original_names: bool, tmp_path: Path) -> None:
    path = write(tmp_path / "a.safetensors", original() if original_names else attention())
    ours = by_lorapool(KOLORS, path)
    assert len(ours) == len(ORIGINAL) if original_names else len(ours) > 60
    assert apart(ours, by_diffusers(KOLORS, path)) <= ROUNDING


@pytest.mark.parametrize("write", [COMFY, AI_TOOLKIT], ids=["with alpha", "without"])
def test_names_of_comfy_ui_are_those_of_the_original_code(write: Write, tmp_path: Path) -> None:
    """diffusers reads none of these."""
    comfy = by_lorapool(KOLORS, write(tmp_path / "a.safetensors", original()))
    kohya = by_lorapool(KOLORS, KOHYA(tmp_path / "b.safetensors", original()))
    assert comfy.keys() == set(ORIGINAL.values())
    scale = 1.0 if write is COMFY else 2.0
    assert all(torch.allclose(comfy[name], scale * kohya[name]) for name in kohya)


def test_what_reads_the_language_model_s_states_may_be_changed_too(tmp_path: Path) -> None:
    path = KOHYA(tmp_path / "a.safetensors", {"encoder_hid_proj": (16, 24)})
    assert by_lorapool(KOLORS, path).keys() == {"encoder_hid_proj"}
