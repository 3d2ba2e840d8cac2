"""What a file seems to be made for, and what is not read."""

from dataclasses import replace

import pytest
from tests import make
from tests.unit.api.lora.files import BASE, LORA, MODULE, Shapes, facts_of, pair

from lorapool_api.kinds.conditions import Reason
from lorapool_api.lora.facts import read_facts
from lorapool_api.lora.families import Family
from lorapool_api.lora.fit import check_fits
from lorapool_api.lora.header import FactsError, parse_header

WIDE = "lora_unet_joint_blocks_0_x_block_attn_proj"


@pytest.mark.parametrize(
    ("tensors", "metadata", "family"),
    [
        (pair(f"unet.{MODULE}.lora_A.weight", f"unet.{MODULE}.lora_B.weight", width=768), {}, Family.SD1),
        (pair(f"unet.{MODULE}.lora_A.weight", f"unet.{MODULE}.lora_B.weight", width=1024), {}, Family.SD2),
        (pair(f"{WIDE}.lora_down.weight", f"{WIDE}.lora_up.weight", width=1536, out=1536), {}, Family.SD3),
        (LORA, {"ss_base_model_version": "sdxl_base_v1-0"}, Family.SDXL),
        (LORA, {"modelspec.architecture": "flux-1-dev/lora"}, Family.FLUX),
        (LORA, {"modelspec.architecture": "something else"}, None),
    ],
)
def test_the_family_of_bases_is_told_by_modules_or_metadata(
    tensors: Shapes, metadata: dict[str, str], family: Family | None
) -> None:
    parsed = parse_header(*make.safetensors_header(tensors))
    assert read_facts(replace(parsed, metadata=metadata)).made_for is family


def diffusers_pair(module: str, width: int) -> Shapes:
    name = f"transformer.{module}"
    return pair(f"{name}.lora_A.weight", f"{name}.lora_B.weight", width=width, out=width)


def kohya_pair(module: str, width: int, out: int | None = None) -> Shapes:
    name = f"lora_unet_{module}"
    return pair(f"{name}.lora_down.weight", f"{name}.lora_up.weight", width=width, out=out or width)


@pytest.mark.parametrize(
    ("tensors", "family"),
    [
        (diffusers_pair("transformer_blocks.0.attn.to_q", 3072), Family.FLUX),
        (diffusers_pair("transformer_blocks.18.attn.to_q", 3072), Family.FLUX),
        (diffusers_pair("single_transformer_blocks.37.attn.to_q", 3072), Family.FLUX),
        (diffusers_pair("transformer_blocks.59.attn.to_q", 3072), Family.QWEN_IMAGE),
        (diffusers_pair("transformer_blocks.0.img_mlp.net.2", 3072), Family.QWEN_IMAGE),
        (diffusers_pair("single_transformer_blocks.39.attn.to_q", 3072), Family.HUNYUAN_VIDEO),
        (diffusers_pair("context_embedder.token_refiner.refiner_blocks.0.attn.to_q", 3072), Family.HUNYUAN_VIDEO),
        (kohya_pair("double_blocks_0_img_mlp_fc1", 3072), Family.HUNYUAN_VIDEO),
        (kohya_pair("double_blocks_0_img_mlp_fc1", 3584), Family.HUNYUAN_IMAGE),
        (kohya_pair("single_blocks_39_modulation_linear", 3584), Family.HUNYUAN_IMAGE),
        (diffusers_pair("single_transformer_blocks.39.attn.to_q", 3584), Family.HUNYUAN_IMAGE),
        (diffusers_pair("blocks.0.attn1.to_q", 5120), Family.WAN),
        (diffusers_pair("blocks.0.attn2.to_k", 1536), Family.WAN),
        (kohya_pair("blocks_0_self_attn_q", 5120), Family.WAN),
        (kohya_pair("blocks_0_cross_attn_k", 5120), Family.WAN),
        (diffusers_pair("layers.0.attention.to_q", 3840), Family.Z_IMAGE),
        (diffusers_pair("noise_refiner.0.feed_forward.w1", 3840), Family.Z_IMAGE),
        (diffusers_pair("single_transformer_blocks.0.attn.to_qkv_mlp_proj", 6144), Family.FLUX_2),
        (diffusers_pair("transformer_blocks.0.ff_context.linear_out", 6144), Family.FLUX_2),
        (kohya_pair("double_stream_modulation_img_lin", 6144), Family.FLUX_2),
        (kohya_pair("single_blocks_0_linear1", 3072, 9 * 3072), Family.FLUX_2),
        (kohya_pair("double_blocks_0_img_mlp_0", 4096, 6 * 4096), Family.FLUX_2),
        (kohya_pair("single_blocks_0_linear1", 3072, 7 * 3072), Family.FLUX),
        (kohya_pair("blocks_0_mlp_gate", 6144), Family.KREA_2),
        (diffusers_pair("transformer_blocks.0.attn.to_gate", 6144), Family.KREA_2),
        (diffusers_pair("layers.0.attn.to_q", 2304), Family.LUMINA_2),
        (kohya_pair("noise_refiner_0_adaLN_modulation_1", 1024), Family.LUMINA_2),
        (diffusers_pair("layers.0.adaln_modulation", 512), Family.IDEOGRAM_4),
        (diffusers_pair("transformer_blocks.0.attn2.to_k", 2048), Family.LTX_VIDEO),
        (kohya_pair("transformer_blocks_0_attn2_to_k", 2048), Family.LTX_VIDEO),
    ],
)  # fmt: skip
def test_families_are_called_by_their_names_where_the_base_is_another(tensors: Shapes, family: Family) -> None:
    assert facts_of(tensors).made_for is family
    assert f"trained for {family}" in misfit_of(tensors)


def misfit_of(tensors: Shapes) -> str:
    with pytest.raises(FactsError) as refusal:
        check_fits(facts_of(tensors), BASE)
    return refusal.value.message


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        (["lora_unet_x.weight", "lora_unet_x.on_input"], "IA3"),
        (["base_model.model.x.to_k.oft_r.default"], "OFT"),
        (["base_model.model.x.to_k.boft_R.default", "base_model.model.x.to_k.boft_s.default"], "BOFT"),
        (["base_model.vera_A", "base_model.vera_B"], "VeRA"),
        (["base_model.model.x.vera_lambda_b.default"], "VeRA"),
        (["double_blocks.0.img_attn.norm.query_norm.scale", "img_in.lora_A.weight"], "control LoRA"),
        (["lora_unet_x.w_norm", "lora_unet_y.lora_down.weight", "lora_unet_y.lora_up.weight"], "norms"),
    ],
)
def test_networks_that_are_not_read_are_called_by_their_names(keys: list[str], name: str) -> None:
    with pytest.raises(FactsError, match=name) as refusal:
        facts_of(dict.fromkeys(keys, (4, 4)))
    assert refusal.value.reason is Reason.UNSUPPORTED_FORMAT


@pytest.mark.parametrize(
    "name",
    [
        "lora_te3_encoder_block_0_layer_0_SelfAttention_q",
        "text_encoders.t5xxl.transformer.encoder.block.0.layer.0.SelfAttention.q",
    ],
)
def test_a_t5_encoder_is_refused_as_what_it_is(name: str) -> None:
    with pytest.raises(FactsError, match="T5") as refusal:
        facts_of(pair(f"{name}.lora_down.weight", f"{name}.lora_up.weight"))
    assert refusal.value.reason is Reason.UNSUPPORTED_FORMAT
