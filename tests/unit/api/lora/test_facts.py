"""What a header says of an adapter."""

import json
import math
import tracemalloc
from dataclasses import replace

import pytest
from tests import make
from tests.unit.api.lora.files import BASE, FLAT, GLORA, LAYOUTS, LORA, Shapes, facts_of, loha, pair, refusal_of

from lorapool_api.kinds.conditions import Reason
from lorapool_api.lora.facts import AdapterFacts, Network, read_facts
from lorapool_api.lora.facts_json import answered, facts_in
from lorapool_api.lora.families import Family
from lorapool_api.lora.fit import check_fits
from lorapool_api.lora.header import FactsError, parse_header


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_names_the_same_module(layout: str) -> None:
    format_, tensors = LAYOUTS[layout]
    facts = facts_of(tensors)
    (target,) = facts.targets
    assert (facts.format, target.component, target.module, target.weight.rank) == (format_, "unet", FLAT, 4)
    check_fits(facts, BASE)


def test_comfyui_names_the_text_encoders_of_a_transformer() -> None:
    module = "transformer.text_model.encoder.layers.0.self_attn.q_proj"
    found = {}
    for encoder in ("clip_l", "clip_g"):
        name = f"text_encoders.{encoder}.{module}"
        found[encoder] = facts_of(pair(f"{name}.lora_down.weight", f"{name}.lora_up.weight")).targets[0]
    assert [found[e].component for e in ("clip_l", "clip_g")] == ["text_encoder", "text_encoder_2"]
    assert {target.module for target in found.values()} == {"text_model_encoder_layers_0_self_attn_q_proj"}


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


VERA: Shapes = {
    "base_model.vera_A": (4, 8),
    "base_model.vera_B": (8, 4),
    "base_model.model.x.vera_lambda_b": (8,),
    "base_model.model.x.vera_lambda_d": (4,),
}


def test_a_vera_without_its_projections_is_refused_by_name() -> None:
    for missing in ("base_model.vera_A", "base_model.vera_B"):
        refusal = refusal_of({key: shape for key, shape in VERA.items() if key != missing})
        assert refusal.reason is Reason.UNSUPPORTED_FORMAT
        assert "save_projection" in refusal.message


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        ({"lora_unet_x.hada_w1_a": (8, 4)}, "hada_w1_a"),
        ({"lora_unet_x.lokr_w1": (2, 2)}, "lokr_w1"),
        ({"lora_unet_x.diff": (8, 8)}, "diff"),
        ({"lora_unet_x.dora_scale": (8, 1), "lora_unet_x.lora_magnitude_vector": (8,)}, "two layouts"),
        ({"lora_unet_y.oft_blocks": (2, 4, 4), "lora_unet_y.dora_scale": (8, 1)}, "dora_scale"),
        ({"lora_unet_double_blocks_0_img_attn_qkv.oft_blocks": (6, 4, 4)}, "cannot be cut"),
        ({"lora_unet_z.ia3_l": (1, 8, 1, 1)}, "convolution"),
        ({"lora_unet_z.oft_R.weight": (2, 6)}, "peft-oft without PEFT's configuration"),
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
    ((_, tensors),) = read_facts(header).layout.tensors()
    assert sorted(tensors) == ["alpha", "down", "up"]
    assert sorted(tensors.values(), key=str) == sorted(header.tensors.values(), key=str)


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
        GLORA | {"lora_unet_x.a2.weight": (3, 8)},
        GLORA | {"lora_unet_x.b2.weight": (4, 9)},
        {key: shape for key, shape in GLORA.items() if "a1" not in key},
        {"lora_unet_x.oft_blocks": (2, 4, 3)},
        {"lora_unet_x.oft_blocks": (8, 8)},
        {"lora_unet_x.oft_blocks": (2, 4, 4), "lora_unet_x.rescale": (7, 1)},
        {"lora_unet_x.rescale": (8, 1)},
        {"lora_unet_x.oft_blocks": (1, 4, 3, 3)},
        {"lora_unet_x.oft_blocks": (2, 3, 4, 4)},
        {"lora_unet_x.oft_blocks": (4, 4, 2, 2)},
        {"lora_unet_x.oft_blocks": (10_000, 4, 2, 2)},
        {"base_model.model.x.oft_R.weight": (2, 7)},
        {"base_model.model.x.oft_R.weight": (6,)},
        {"base_model.model.x.oft_R.weight": (0, 6)},
        {"base_model.model.x.boft_R": (1, 2, 4, 4)},
        {"base_model.model.x.boft_R": (1, 2, 4, 3), "base_model.model.x.boft_s": (8, 1)},
        {"base_model.model.x.boft_R": (3, 2, 4, 4), "base_model.model.x.boft_s": (8, 1)},
        {"base_model.model.x.boft_R": (2, 2, 3, 3), "base_model.model.x.boft_s": (8, 1)},
        {"base_model.model.x.boft_R": (10_000, 2, 4, 4), "base_model.model.x.boft_s": (8, 1)},
        {"base_model.model.x.boft_R": (1, 2, 4, 4), "base_model.model.x.boft_s": (8, 2)},
        VERA | {"base_model.vera_A": (3, 8)},
        VERA | {"base_model.vera_B": (7, 4)},
        VERA | {"base_model.vera_B": (8,)},
        VERA | {"base_model.model.x.vera_lambda_d": (5,)},
        VERA | {"base_model.model.x.vera_lambda_b": (8, 1)},
        {"base_model.model.x.ia3_l": (4, 8)},
        {"base_model.model.x.ia3_l": (8,)},
    ],
)
def test_parts_that_do_not_belong_together_are_refused(tensors: Shapes) -> None:
    assert refusal_of(tensors).reason is Reason.INVALID_WEIGHTS


def test_each_network_type_is_recognised() -> None:
    dora: Shapes = LAYOUTS["kohya"][1] | {f"lora_unet_{FLAT}.dora_scale": (64, 1)}
    loha: Shapes = {f"lora_unet_{FLAT}.hada_w{i}_{p}": s for i in (1, 2) for p, s in (("a", (64, 4)), ("b", (4, 2048)))}
    lokr: Shapes = {f"lora_unet_{FLAT}.lokr_w1": (8, 8), f"lora_unet_{FLAT}.lokr_w2": (8, 256)}
    oft: Shapes = {"lora_unet_x.oft_blocks": (2, 4, 4), "lora_unet_x.alpha": ()}
    boft: Shapes = {"lora_unet_x.oft_blocks": (2, 2, 4, 4), "lora_unet_x.alpha": ()}
    found = [facts_of(t).networks for t in (dora, loha, lokr, GLORA, oft, boft)]
    wanted = [Network.DORA, Network.LOHA, Network.LOKR, Network.GLORA, Network.OFT, Network.BOFT]
    assert found == [{network} for network in wanted]


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
    others = [facts_in(answer) for _ in range(15)] + [read_facts(parse_header(*text)) for _ in range(15)]
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
