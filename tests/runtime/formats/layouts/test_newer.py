"""Files for families that came later, in the layouts of their trainers and of ComfyUI.

Where diffusers' pipeline has a loader of adapters, module by module what that makes of them; else what its conversion
of the base says that a name means.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.loaders.single_file_utils import (
    convert_hunyuan_video_transformer_to_diffusers,
    convert_qwen_image21_transformer_checkpoint_to_diffusers,
)
from safetensors.torch import load_file
from tests.runtime.formats.layouts.families import (
    AI_TOOLKIT,
    BARE,
    BARE_PEFT,
    COMFY,
    DIFFUSERS,
    KOHYA,
    OF_PEFT,
    ONE_TRAINER,
    Family,
    Shapes,
    Write,
    apart,
    by_diffusers,
    by_lorapool,
    modules_of,
    with_configuration,
)
from tests.runtime.formats.layouts.numbered import found_rows, numbered
from tests.runtime.formats.layouts.test_layouts import IDEOGRAM4, IDEOGRAM_BLOCKS, flux_blocks

# Of float32: both scale one factor or the product.
ROUNDING = 1e-5

# As wide as HunyuanVideo, which diffusers' conversion takes for granted.
HUNYUAN = Family(
    "HunyuanImageTransformer2DModel",
    "",
    (
        ("num_attention_heads", 24),
        ("num_layers", 1),
        ("num_single_layers", 1),
        ("guidance_embeds", True),
        ("use_meanflow", True),
        ("text_embed_2_dim", 1472),
    ),
)
LONGCAT = Family("LongCatImageTransformer2DModel", "", (("num_layers", 2), ("num_single_layers", 2)))
LONGCAT_AS_FLUX = Family(LONGCAT.denoiser, "FluxPipeline", LONGCAT.sizes)
FIBO = Family("BriaFiboTransformer2DModel", "BriaFiboPipeline", (("num_layers", 2), ("num_single_layers", 2)))
FIBO2 = Family("BriaFibo2Transformer2DModel", "BriaFibo2Pipeline", (("n_layers", 1), ("perceiver_num_layers", 1)))
OMNI = Family("ZImageTransformer2DModel", "ZImageOmniPipeline", (("n_layers", 2), ("siglip_feat_dim", 1152)))
QWEN21 = Family("QwenImage21Transformer2DModel", "QwenImage21Pipeline", (("num_layers", 2),))
NUCLEUS = Family("NucleusMoEImageTransformer2DModel", "", (("num_layers", 4),))

FLUX_LIKE = flux_blocks(3072, range(2), range(2))
# What stands around the blocks; diffusers' converter loses it where it is in ComfyUI's keys.
FLUX_LIKE_OUTSIDE: dict[str, str] = {
    "img_in": "x_embedder",
    "txt_in": "context_embedder",
    "time_in.in_layer": "time_embed.timestep_embedder.linear_1",
    "time_in.out_layer": "time_embed.timestep_embedder.linear_2",
    "final_layer.linear": "proj_out",
    "final_layer.adaLN_modulation.1": "norm_out.linear",
}

# Shapes of None: of all Linears of the base, by diffusers' names.
CASES: dict[str, tuple[Family, Write, Shapes | None]] = {
    "HunyuanImage, diffusers": (HUNYUAN, DIFFUSERS, None),
    "HunyuanImage, diffusers with its configuration": (HUNYUAN, with_configuration, None),
    "LongCat-Image, diffusers": (LONGCAT, DIFFUSERS, None),
    "LongCat-Image, diffusers with its configuration": (LONGCAT, with_configuration, None),
    "LongCat-Image, kohya": (LONGCAT_AS_FLUX, KOHYA, FLUX_LIKE),
    "LongCat-Image, ComfyUI": (LONGCAT_AS_FLUX, COMFY, FLUX_LIKE),
    "Fibo, diffusers and ai-toolkit": (FIBO, DIFFUSERS, None),
    "Fibo, diffusers with its configuration": (FIBO, with_configuration, None),
    "Fibo, kohya": (FIBO, KOHYA, FLUX_LIKE),
    "Fibo 2, diffusers": (FIBO2, DIFFUSERS, None),
    "Fibo 2, diffusers with its configuration": (FIBO2, with_configuration, None),
    "Fibo, ComfyUI": (FIBO, COMFY, FLUX_LIKE),
    "Z-Image Omni, ai-toolkit": (OMNI, AI_TOOLKIT, None),
    "Z-Image Omni, ComfyUI with alpha": (OMNI, COMFY, None),
    "Z-Image Omni, diffusers": (OMNI, DIFFUSERS, None),
    "Qwen-Image 2.1, ai-toolkit and ComfyUI": (QWEN21, AI_TOOLKIT, None),
    "Qwen-Image 2.1, ComfyUI with alpha": (QWEN21, COMFY, None),
    "Qwen-Image 2.1, without a prefix": (QWEN21, BARE, None),
    "Qwen-Image 2.1, PEFT's default": (QWEN21, OF_PEFT, None),
    "Qwen-Image 2.1, diffusers": (QWEN21, DIFFUSERS, None),
    "Nucleus-Image, diffusers": (NUCLEUS, DIFFUSERS, None),
    "Nucleus-Image, diffusers with its configuration": (NUCLEUS, with_configuration, None),
    "Ideogram 4, ai-toolkit": (IDEOGRAM4, AI_TOOLKIT, IDEOGRAM_BLOCKS),
}


@pytest.mark.parametrize("case", CASES)
def test_a_layout_is_read_as_diffusers_reads_it(case: str, tmp_path: Path) -> None:
    family, write, shapes = CASES[case]
    path = write(tmp_path / "a.safetensors", modules_of(family) if shapes is None else shapes)
    assert apart(by_lorapool(family, path), by_diffusers(family, path)) <= ROUNDING


# What no loader of diffusers takes: layouts with its own names. Where alpha is written, it is half of the rank.
SAME_NAMES: dict[str, tuple[Family, Write, float]] = {
    "HunyuanImage, kohya": (HUNYUAN, KOHYA, 0.5),
    "HunyuanImage, ComfyUI": (HUNYUAN, COMFY, 0.5),
    "LongCat-Image, SimpleTuner's LyCORIS": (LONGCAT, KOHYA, 0.5),
    "LongCat-Image, OneTrainer": (LONGCAT, ONE_TRAINER, 0.5),
    "Fibo 2, kohya": (FIBO2, KOHYA, 0.5),
    "Fibo 2, ComfyUI": (FIBO2, COMFY, 0.5),
    # Its converter loses what reads pictures.
    "Z-Image Omni, kohya": (OMNI, KOHYA, 0.5),
    "Qwen-Image 2.1, kohya": (QWEN21, KOHYA, 0.5),
    "Nucleus-Image, kohya": (NUCLEUS, KOHYA, 0.5),
    "Nucleus-Image, ai-toolkit": (NUCLEUS, AI_TOOLKIT, 1.0),
    "Nucleus-Image, ComfyUI with alpha": (NUCLEUS, COMFY, 0.5),
}


@pytest.mark.parametrize("case", SAME_NAMES)
def test_other_keys_of_the_same_names_mean_the_same(case: str, tmp_path: Path) -> None:
    family, write, scale = SAME_NAMES[case]
    shapes = modules_of(family)
    found = by_lorapool(family, write(tmp_path / "a.safetensors", shapes))
    wanted = by_diffusers(family, DIFFUSERS(tmp_path / "b.safetensors", shapes))
    assert found.keys() == wanted.keys() == shapes.keys()
    assert all(torch.allclose(found[name], scale * wanted[name], rtol=1e-5) for name in wanted)


# ---- names of the original code, by diffusers' conversion of the base --------------------------------------------

W = 3072
HUNYUAN_BLOCKS: Shapes = {
    "double_blocks.0.img_attn_qkv": (3 * W, W), "double_blocks.0.img_attn_proj": (W, W),
    "double_blocks.0.txt_attn_qkv": (3 * W, W), "double_blocks.0.txt_attn_proj": (W, W),
    "double_blocks.0.img_mlp.fc1": (4 * W, W), "double_blocks.0.img_mlp.fc2": (W, 4 * W),
    "double_blocks.0.txt_mlp.fc1": (4 * W, W), "double_blocks.0.txt_mlp.fc2": (W, 4 * W),
    "double_blocks.0.img_mod.linear": (6 * W, W), "double_blocks.0.txt_mod.linear": (6 * W, W),
    "single_blocks.0.linear1": (7 * W, W), "single_blocks.0.linear2": (W, 5 * W),
    "single_blocks.0.modulation.linear": (3 * W, W),
    "txt_in.input_embedder": (W, 3584), "txt_in.t_embedder.mlp.0": (W, 256), "txt_in.t_embedder.mlp.2": (W, W),
    "txt_in.c_embedder.linear_1": (W, 3584), "txt_in.c_embedder.linear_2": (W, W),
    "txt_in.individual_token_refiner.blocks.1.self_attn_qkv": (3 * W, W),
    "txt_in.individual_token_refiner.blocks.1.self_attn_proj": (W, W),
    "txt_in.individual_token_refiner.blocks.1.mlp.fc1": (4 * W, W),
    "txt_in.individual_token_refiner.blocks.1.mlp.fc2": (W, 4 * W),
    "txt_in.individual_token_refiner.blocks.1.adaLN_modulation.1": (2 * W, W),
    "final_layer.linear": (64, W), "final_layer.adaLN_modulation.1": (2 * W, W),
}  # fmt: skip
# What HunyuanVideo has not, or elsewhere: by the conversion script of diffusers' repository.
HUNYUAN_OWN: dict[str, str] = {
    "time_in.mlp.0": "time_guidance_embed.timestep_embedder.linear_1",
    "time_in.mlp.2": "time_guidance_embed.timestep_embedder.linear_2",
    "time_r_in.mlp.0": "time_guidance_embed.timestep_embedder_r.linear_1",
    "time_r_in.mlp.2": "time_guidance_embed.timestep_embedder_r.linear_2",
    "guidance_in.mlp.0": "time_guidance_embed.guidance_embedder.linear_1",
    "guidance_in.mlp.2": "time_guidance_embed.guidance_embedder.linear_2",
    "byt5_in.fc1": "context_embedder_2.linear_1",
    "byt5_in.fc2": "context_embedder_2.linear_2",
    "byt5_in.fc3": "context_embedder_2.linear_3",
    "img_in.proj": "x_embedder.proj",
}
QWEN21_FUSED: Shapes = {"transformer_blocks.1.img_mlp.gate_up": (2 * 12288, 4096)}
Convert = Callable[[dict[str, torch.Tensor]], dict[str, Any]]
BASES: dict[str, tuple[Family, Convert, Shapes]] = {
    "hunyuan-image": (HUNYUAN, convert_hunyuan_video_transformer_to_diffusers, HUNYUAN_BLOCKS),
    "qwen-image-2.1": (QWEN21, convert_qwen_image21_transformer_checkpoint_to_diffusers, QWEN21_FUSED),
}


@pytest.mark.parametrize("base", BASES)
def test_every_row_is_where_the_conversion_of_the_base_puts_it(base: str) -> None:
    family, convert, shapes = BASES[base]
    wanted = {name.removesuffix(".weight"): rows.flatten() for name, rows in convert(numbered(shapes)).items()}
    found = found_rows(family, shapes)
    assert found.keys() == wanted.keys()
    assert all(torch.equal(rows, wanted[name]) for name, rows in found.items())


@pytest.mark.parametrize("family", [LONGCAT, FIBO], ids=["LongCat-Image", "Fibo"])
def test_what_stands_around_flux_like_blocks_is_found_by_its_original_name(family: Family) -> None:
    for name, wanted in FLUX_LIKE_OUTSIDE.items():
        assert found_rows(family, {name: (4, 4)}).keys() == {wanted}


def test_what_only_hunyuan_image_has_is_found_by_its_original_names() -> None:
    for name, wanted in HUNYUAN_OWN.items():
        assert found_rows(HUNYUAN, {name: (4, 4)}).keys() == {wanted}


def test_layers_that_hunyuan_s_own_code_has_apart_are_diffusers_ones() -> None:
    """Its code for several devices has them so."""
    apart_there = {f"double_blocks.0.{s}_attn_{p}" for s in ("img", "txt") for p in "qkv"}
    apart_there |= {f"single_blocks.0.linear1_{p}" for p in ("q", "k", "v", "mlp")} | {"single_blocks.0.linear2.fc"}
    by_fused = found_rows(HUNYUAN, {n: s for n, s in HUNYUAN_BLOCKS.items() if "_qkv" in n or ".linear" in n})
    alone = {name for part in apart_there for name in found_rows(HUNYUAN, {part: (4, 4)})}
    blocks = {name for name in by_fused if name.startswith(("transformer_blocks", "single_transformer_blocks"))}
    assert alone == {name for name in blocks if "norm" not in name}


def test_names_of_comfy_ui_mean_what_the_original_ones_do(tmp_path: Path) -> None:
    changed = {
        _comfy_name(name): shape for name, shape in HUNYUAN_BLOCKS.items() if name != "final_layer.adaLN_modulation.1"
    }
    assert sum(name not in HUNYUAN_BLOCKS for name in changed) == 19
    comfy = by_lorapool(HUNYUAN, COMFY(tmp_path / "a.safetensors", changed))
    kohya = by_lorapool(HUNYUAN, KOHYA(tmp_path / "b.safetensors", {n: HUNYUAN_BLOCKS[n] for n in _original(changed)}))
    assert comfy.keys() == kohya.keys()
    assert all(torch.equal(comfy[name], kohya[name]) for name in kohya)


def _comfy_name(name: str) -> str:
    """As ComfyUI renames them when it loads the base."""
    for old, new in (
        ("t_embedder.mlp.0", "t_embedder.in_layer"), ("t_embedder.mlp.2", "t_embedder.out_layer"),
        ("c_embedder.linear_1", "c_embedder.in_layer"), ("c_embedder.linear_2", "c_embedder.out_layer"),
        ("_mod.linear", "_mod.lin"), ("_attn_qkv", "_attn.qkv"), ("_attn_proj", "_attn.proj"),
        ("mlp.fc1", "mlp.0"), ("mlp.fc2", "mlp.2"), (".modulation.linear", ".modulation.lin"),
    ):  # fmt: skip
        name = name.replace(old, new)
    return name


def _original(renamed: Shapes) -> list[str]:
    return [name for name in HUNYUAN_BLOCKS if _comfy_name(name) in renamed]


def test_the_last_modulation_of_hunyuan_image_is_read_with_its_halves_exchanged(tmp_path: Path) -> None:
    name = "final_layer.adaLN_modulation.1"
    path = BARE_PEFT(tmp_path / "a.safetensors", {name: HUNYUAN_BLOCKS[name]})
    tensors = load_file(path)
    up, down = (tensors[f"base_model.model.{name}.lora_{side}.weight"].double() for side in "BA")
    x = torch.randn(W, 2, generator=torch.Generator().manual_seed(W)).double()
    (found,) = by_lorapool(HUNYUAN, path).values()
    assert torch.allclose(found, torch.cat([up[W:], up[:W]]) @ (down @ x))
