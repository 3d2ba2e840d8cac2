"""What a header says of an adapter, and whether it fits a base."""

import json
import math
import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import pytest
from tests import make

from lorapool_api.kinds.adapter import AdapterFormat
from lorapool_api.kinds.conditions import Reason
from lorapool_api.lora.facts import AdapterFacts, Network, read_facts
from lorapool_api.lora.facts_json import answered, facts_in
from lorapool_api.lora.families import Family
from lorapool_api.lora.fit import check_fits, check_rank
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


def misfit(tensors: Shapes) -> str:
    with pytest.raises(FactsError) as refusal:
        check_fits(facts_of(tensors), BASE)
    assert refusal.value.reason is Reason.BASE_MODEL_MISMATCH
    return refusal.value.message


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
    "kohya, original block names": (
        AdapterFormat.KOHYA,
        pair(
            "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k.lora_down.weight",
            "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k.lora_up.weight",
        ),
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_names_the_same_module(layout: str) -> None:
    format_, tensors = LAYOUTS[layout]
    facts = facts_of(tensors)
    (target,) = facts.targets
    assert (facts.format, target.component, target.module, target.weight.rank) == (format_, "unet", FLAT, 4)
    check_fits(facts, BASE)


def test_text_encoders_are_named_with_and_without_their_prefix() -> None:
    for name in ("text_encoder.text_model.encoder.fc1", "text_encoder.encoder.fc1"):
        check_fits(facts_of(pair(f"{name}.lora_A.weight", f"{name}.lora_B.weight", width=4, out=8)), BASE)
    check_fits(
        facts_of(
            pair(
                "lora_te1_text_model_encoder_fc1.lora_down.weight",
                "lora_te1_text_model_encoder_fc1.lora_up.weight",
                width=4,
                out=8,
            )
        ),
        BASE,
    )


def test_convolutions_are_judged_with_their_kernel() -> None:
    fits: Shapes = {"unet.conv_in.lora_A.weight": (2, 4, 3, 3), "unet.conv_in.lora_B.weight": (32, 2, 1, 1)}
    check_fits(facts_of(fits), BASE)
    message = misfit({"unet.conv_in.lora_A.weight": (2, 4, 5, 5), "unet.conv_in.lora_B.weight": (32, 2, 1, 1)})
    assert "32 x 4 x 3 x 3" in message
    assert "32 x 4 x 5 x 5" in message


def test_the_highest_rank_counts() -> None:
    facts = facts_of(
        pair("unet.a.lora_A.weight", "unet.a.lora_B.weight", rank=4)
        | pair("unet.b.lora_A.weight", "unet.b.lora_B.weight", rank=64)
    )
    assert facts.rank == 64
    check_rank(facts, 64)
    with pytest.raises(FactsError, match="rank 64; the pool takes at most 63"):
        check_rank(facts, 63)


def test_an_adapter_for_another_base_is_refused_with_both_families() -> None:
    message = misfit(pair(f"unet.{MODULE}.lora_A.weight", f"unet.{MODULE}.lora_B.weight", width=768))
    assert "SD 1.x (cross-attention 768); this base needs 2048" in message


def test_a_module_that_the_base_lacks_is_named() -> None:
    assert "up_blocks_9" in misfit(pair("unet.up_blocks.9.lora_A.weight", "unet.up_blocks.9.lora_B.weight"))


def test_a_base_without_modules_takes_everything() -> None:
    check_fits(facts_of(pair("unet.x.lora_A.weight", "unet.x.lora_B.weight")), {})


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"model.diffusion_model.x.weight": (1,)}, "whole model"),
        ({"clip_l": (1, 768), "clip_g": (1, 1280)}, "textual inversion"),
        ({"x.weight": (1,)}, "x.weight"),
        ({}, "no tensors"),
    ],
)
def test_what_is_no_lora_is_called_what_it_seems(tensors: Shapes, words: str) -> None:
    refusal = refusal_of(tensors)
    assert refusal.reason is Reason.NOT_A_LORA
    assert words in refusal.message


def test_a_key_that_nothing_reads_is_named() -> None:
    refusal = refusal_of(LAYOUTS["peft"][1] | {"bundle_emb.x.clip_g": (1, 1280)})
    assert refusal.reason is Reason.UNSUPPORTED_FORMAT
    assert "bundle_emb.x.clip_g" in refusal.message


def test_weights_that_are_no_floats_are_refused() -> None:
    assert refusal_of(LAYOUTS["peft"][1], dtype="I8").reason is Reason.UNSUPPORTED_FORMAT


LORA = pair("lora_unet_x.lora_down.weight", "lora_unet_x.lora_up.weight", width=8, out=8)


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        ({"lora_unet_x.hada_w1_a": (8, 4)}, "hada_w1_a"),
        ({"lora_unet_x.lokr_w1": (2, 2)}, "lokr_w1"),
        ({"lora_unet_x.diff": (8, 8)}, "diff"),
        ({"lora_unet_x.dora_scale": (8, 1), "lora_unet_x.lora_magnitude_vector": (8,)}, "two layouts"),
        ({"lora_unet_norm.w_norm": (8,), "lora_unet_norm.b_norm": (8,)}, "w_norm"),
        ({"lora_unet_x.on_input": ()}, "on_input"),
        ({"lora_unet_y.diff": (8,)}, "no Linear and no convolution"),
        ({"lora_te1_x.alpha": (), "lora_te_x.alpha": ()}, "two keys name"),
        ({"base_model.model.y.lora_A.weight": (4, 8), "base_model.model.y.lora_B.weight": (8, 4)}, "several layouts"),
    ],
)
def test_what_nothing_reads_beside_a_lora_is_named(extra: Shapes, named: str) -> None:
    refusal = refusal_of(LORA | extra)
    assert refusal.reason is Reason.UNSUPPORTED_FORMAT
    assert named in refusal.message


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


@pytest.mark.parametrize("make_file", [loha, lokr, lambda width: loha(width, core=True)])
def test_networks_without_sides_of_their_own_are_judged_by_what_they_make(make_file: Callable[[int], Shapes]) -> None:
    check_fits(facts_of(make_file(2048)), BASE)
    assert "SD 1.x" in misfit(make_file(768))


def test_the_facts_say_the_configuration_of_peft_and_the_family() -> None:
    said = {"unet.lora_alpha": 8, "text_encoder.lora_alpha": 4.5, "unet.alpha": float("nan")}
    metadata = {"lora_adapter_metadata": json.dumps(said)}
    header = parse_header(*make.safetensors_header(LAYOUTS["diffusers"][1], "BF16"))
    facts = read_facts(replace(header, metadata=metadata))
    assert {component: config.alpha for component, config in facts.peft_configs.items()} == {
        "unet": 8,
        "text_encoder": 4.5,
    }
    assert facts.made_for is Family.SDXL


def test_the_facts_say_where_each_tensor_lies() -> None:
    text, size_bytes = make.safetensors_header(LAYOUTS["kohya"][1])
    header = parse_header(text, size_bytes)
    ((_, tensors),) = read_facts(header).tensors()
    assert sorted(tensors) == ["alpha", "down", "up"]
    assert sorted(tensors.values(), key=str) == sorted(header.tensors.values(), key=str)


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


def kohya_pair(module: str, width: int) -> Shapes:
    return pair(f"lora_unet_{module}.lora_down.weight", f"lora_unet_{module}.lora_up.weight", width=width, out=width)


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
        (diffusers_pair("blocks.0.attn1.to_q", 5120), Family.WAN),
        (diffusers_pair("blocks.0.attn2.to_k", 1536), Family.WAN),
        (kohya_pair("blocks_0_self_attn_q", 5120), Family.WAN),
        (kohya_pair("blocks_0_cross_attn_k", 5120), Family.WAN),
        (diffusers_pair("layers.0.attention.to_q", 3840), Family.Z_IMAGE),
        (diffusers_pair("noise_refiner.0.feed_forward.w1", 3840), Family.Z_IMAGE),
        (diffusers_pair("transformer_blocks.0.attn2.to_k", 2048), Family.LTX_VIDEO),
        (kohya_pair("transformer_blocks_0_attn2_to_k", 2048), Family.LTX_VIDEO),
    ],
)  # fmt: skip
def test_families_that_no_pool_serves_are_called_by_their_names(tensors: Shapes, family: Family) -> None:
    assert facts_of(tensors).made_for is family
    assert f"trained for {family}" in misfit_of(tensors)


def misfit_of(tensors: Shapes) -> str:
    with pytest.raises(FactsError) as refusal:
        check_fits(facts_of(tensors), BASE)
    return refusal.value.message


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        (["base_model.model.x.to_k.ia3_l"], "IA3"),
        (["lora_unet_x.weight", "lora_unet_x.on_input"], "IA3"),
        (["base_model.model.x.to_k.oft_r.default"], "OFT"),
        (["lora_unet_x.oft_blocks", "lora_unet_x.alpha"], "OFT or BOFT"),
        (["base_model.model.x.to_k.boft_R", "base_model.model.x.to_k.boft_s"], "BOFT"),
        (["base_model.model.x.vera_lambda_b", "base_model.vera_A"], "VeRA"),
        (["lora_unet_x.a1.weight", "lora_unet_x.b1.weight"], "GLoRA"),
        (["lora_unet_x.w_norm", "lora_unet_y.lora_down.weight", "lora_unet_y.lora_up.weight"], "norms"),
    ],
)
def test_networks_that_are_not_read_are_called_by_their_names(keys: list[str], name: str) -> None:
    with pytest.raises(FactsError, match=name) as refusal:
        facts_of(dict.fromkeys(keys, (4, 4)))
    assert refusal.value.reason is Reason.UNSUPPORTED_FORMAT


def test_a_t5_encoder_is_refused_as_what_it_is() -> None:
    name = "lora_te3_encoder_block_0_layer_0_SelfAttention_q"
    with pytest.raises(FactsError, match="T5") as refusal:
        facts_of(pair(f"{name}.lora_down.weight", f"{name}.lora_up.weight"))
    assert refusal.value.reason is Reason.UNSUPPORTED_FORMAT


def test_alpha_may_be_an_integer_and_weights_may_not() -> None:
    def header(**dtypes: str) -> tuple[bytes, int]:
        entries: dict[str, object] = {}
        end = 0
        for part, shape in (("lora_down.weight", [4, 8]), ("lora_up.weight", [8, 4]), ("alpha", [])):
            dtype = dtypes.get(part.partition(".")[0], "F32")
            size = math.prod(shape) * (8 if dtype == "I64" else 4)
            entries[f"lora_unet_x.{part}"] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
            end += size
        text = json.dumps(entries).encode()
        return text, 8 + len(text) + end

    assert read_facts(parse_header(*header(alpha="I64"))).rank == 4
    with pytest.raises(FactsError, match="floats"):
        read_facts(parse_header(*header(lora_up="I64")))


def test_a_transformer_may_be_called_a_unet() -> None:
    """PEFT's files and LyCORIS' wrapper do not say which it is: the base does."""
    base: dict[str, Shapes] = {"transformer": {"transformer_blocks.0.attn.to_q": (64, 2048)}}
    name = "base_model.model.transformer_blocks.0.attn.to_q"
    check_fits(facts_of(pair(f"{name}.lora_A.weight", f"{name}.lora_B.weight")), base)


@pytest.mark.parametrize(
    "tensors",
    [
        {"unet.x.lora_A.weight": (4, 8)},
        {"unet.x.lora_A.weight": (4, 8), "unet.x.lora_B.weight": (8, 5)},
        {"unet.x.lora_A.weight": (0, 8), "unet.x.lora_B.weight": (8, 0)},
        {"unet.x.alpha": ()},
        {"lora_unet_x.hada_w1_a": (8, 4), "lora_unet_x.hada_w1_b": (4, 8)},
        {"lora_unet_x.lokr_w1": (2, 2)},
        {"lora_unet_x.lokr_w1": (2, 0), "lora_unet_x.lokr_w2": (2, 2)},
        {"lora_unet_x.lokr_w1": (), "lora_unet_x.lokr_w2": (2, 2)},
        LORA | {"lora_unet_x.alpha": (2,)},
        LORA | {"lora_unet_x.lora_mid.weight": (4, 3, 3, 3)},
        {"unet.x.lora_A.weight": (4, 8, 3, 3), "unet.x.lora_B.weight": (8, 4, 3, 3)},
        loha(2048) | {f"lora_unet_{FLAT}.hada_w2_a": (65, 4)},
    ],
)
def test_parts_that_do_not_belong_together_are_refused(tensors: Shapes) -> None:
    assert refusal_of(tensors).reason is Reason.INVALID_WEIGHTS


def test_each_network_type_is_recognised() -> None:
    dora: Shapes = LAYOUTS["kohya"][1] | {f"lora_unet_{FLAT}.dora_scale": (64, 1)}
    loha: Shapes = {f"lora_unet_{FLAT}.hada_w{i}_{p}": s for i in (1, 2) for p, s in (("a", (64, 4)), ("b", (4, 2048)))}
    lokr: Shapes = {f"lora_unet_{FLAT}.lokr_w1": (8, 8), f"lora_unet_{FLAT}.lokr_w2": (8, 256)}
    found = [facts_of(t).networks for t in (dora, loha, lokr)]
    assert found == [{Network.DORA}, {Network.LOHA}, {Network.LOKR}]


def test_adapters_of_one_layout_share_what_describes_it() -> None:
    """Ten thousand adapters of a trainer would take gigabytes each with a description of its own."""
    shapes: Shapes = {}
    for i in range(700):
        shapes |= pair(f"lora_unet_module_{i:05}.lora_down.weight", f"lora_unet_module_{i:05}.lora_up.weight")
    text = make.safetensors_header(shapes)
    answer = answered(lambda: read_facts(parse_header(*text)))
    first = facts_in(answer)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    others = [facts_in(answer) for _ in range(50)] + [read_facts(parse_header(*text)) for _ in range(50)]
    each = (tracemalloc.get_traced_memory()[0] - before) / len(others)
    tracemalloc.stop()
    assert all(facts == first for facts in others)
    assert each < 20_000


def test_facts_and_refusals_go_through_json() -> None:
    facts = facts_of(LAYOUTS["diffusers"][1])
    assert facts_in(answered(lambda: facts)) == facts
    with pytest.raises(FactsError, match="too high") as refusal:
        facts_in(answered(lambda: _refuse(Reason.RANK_TOO_HIGH, "too high")))
    assert refusal.value.reason is Reason.RANK_TOO_HIGH


def _refuse(reason: Reason, message: str) -> AdapterFacts:
    raise FactsError(reason, message)
