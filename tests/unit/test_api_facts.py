"""What a header says of an adapter, and whether it fits a base."""

import pytest
from tests import make

from lorapool_api.adapter import AdapterFormat
from lorapool_api.conditions import Reason
from lorapool_api.facts import AdapterFacts, Network, read_facts
from lorapool_api.fit import check_fits, check_rank
from lorapool_api.header import FactsError, parse_header

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
    assert (facts.format, target.component, target.module, target.rank) == (format_, "unet", FLAT, 4)
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


@pytest.mark.parametrize(
    "tensors",
    [
        {"unet.x.lora_A.weight": (4, 8)},
        {"unet.x.lora_A.weight": (4, 8), "unet.x.lora_B.weight": (8, 5)},
        {"unet.x.lora_A.weight": (0, 8), "unet.x.lora_B.weight": (8, 0)},
        {"unet.x.alpha": ()},
        {"lora_unet_x.hada_w1_a": (8, 4), "lora_unet_x.hada_w1_b": (4, 8)},
        {"lora_unet_x.lokr_w1": (2, 2)},
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
