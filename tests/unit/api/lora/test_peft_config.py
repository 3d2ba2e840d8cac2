"""What PEFT's configuration says the weights mean."""

import json
import math
import time
from typing import Any

import pytest
from peft import LoHaConfig, LoKrConfig, LoraConfig
from peft.utils.other import get_pattern_key

from lorapool_api.kinds.conditions import Reason
from lorapool_api.lora.header import FactsError
from lorapool_api.lora.peft_config import DIFFUSERS_KEY, PeftConfig, from_file, from_metadata

NAME = "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"

OFT = {
    "peft_type": "OFT",
    "oft_block_size": 4,
    "use_cayley_neumann": True,
    "num_cayley_neumann_terms": 5,
    "peft_version": "0.18.0",
}


def config(**values: object) -> PeftConfig:
    return from_file(json.dumps({"peft_type": "LORA"} | values).encode())


def test_of_an_oft_it_says_how_its_rotations_are_made() -> None:
    assert config(**OFT).oft_terms == 5
    assert config(**OFT | {"peft_version": "1.2.3.dev0@abc"}).oft_terms == 5
    assert config(**OFT | {"use_cayley_neumann": False, "peft_version": None}).oft_terms == 0
    assert (config(**OFT).oft_most, config(**OFT | {"coft": True, "eps": 0.5}).oft_most) == (None, 0.5)
    assert config(r=4).oft_terms is None


def test_the_scale_is_alpha_over_rank() -> None:
    assert config(lora_alpha=8).scale([NAME], rank=16) == 0.5


def test_with_stabilized_ranks_it_is_alpha_over_the_root() -> None:
    assert config(lora_alpha=8, use_rslora=True).scale([NAME], rank=16) == 8 / math.sqrt(16)


def test_a_pattern_is_the_end_of_a_name() -> None:
    made = config(lora_alpha=8, alpha_pattern={"attn2.to_k": 32})
    assert made.scale([NAME], rank=16) == 2.0
    assert made.scale(["mid.attn2.to_k2"], rank=16) == 0.5
    assert made.scale(["xattn2.to_k"], rank=16) == 0.5


def test_an_anchored_pattern_is_the_whole_name() -> None:
    made = config(lora_alpha=8, alpha_pattern={"^attn2.to_k": 32})
    assert made.scale(["attn2.to_k"], rank=16) == 2.0
    assert made.scale([NAME], rank=16) == 0.5


@pytest.mark.parametrize("pattern", [
    "attn2.to_k", "attn2_to_k", "to.k", "^down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k", "^attn2.to_k",
    r"attn2\.to_k", "attn2.to_k$", "t..k", "o_k", ".", "...................................................",
])  # fmt: skip
def test_a_pattern_matches_what_it_matches_in_peft(pattern: str) -> None:
    for name in (NAME, "attn2.to_k", "to_k", "attn2xto_k", "a.attn2_to_k", "mid.attn2.to_k2"):
        wanted = get_pattern_key([pattern], name) == pattern
        assert config(lora_alpha=8, alpha_pattern={pattern: 32}).scale([name], rank=16) == (2.0 if wanted else 0.5)


@pytest.mark.parametrize("kind", [LoraConfig, LoHaConfig, LoKrConfig])
def test_an_alpha_that_nobody_names_is_the_default_of_peft(kind: Any) -> None:
    default = kind()
    alpha = default.lora_alpha if kind is LoraConfig else default.alpha
    made = from_file(json.dumps({"peft_type": default.peft_type}).encode())
    assert made.scale([NAME], rank=16) == alpha / 16
    assert made.scale([NAME], rank=None) == alpha / default.r
    in_metadata = from_metadata({DIFFUSERS_KEY: json.dumps({"unet.r": 4})})["unet"]
    assert in_metadata.scale([NAME], rank=4) == LoraConfig(r=4).lora_alpha / 4


def test_low_rank_weights_with_the_configuration_of_an_ia3_have_no_scale() -> None:
    """An alpha of 0 is refused where a file is read."""
    assert from_file(b'{"peft_type": "IA3", "r": 4}').scale([NAME], rank=4) == 0


METHODS: dict[str, object] = {
    "alora_invocation_tokens": [1, 2],
    "arrow_config": {"top_k": 3},
    "kasa_config": {"beta": 1e-4},
    "layer_replication": [[0, 2], [1, 3]],
    "monteclora_config": {"num_samples": 4},
    "use_bdlora": {"nblocks": 2},
    "use_qalora": True,
}


@pytest.mark.parametrize("option", METHODS)
def test_methods_of_peft_that_are_no_low_rank_sum_are_refused_by_name(option: str) -> None:
    """All of them are options of a LoRA, with the same names of tensors."""
    usual = json.loads(json.dumps(LoraConfig().to_dict(), default=list))
    assert option in usual
    assert from_file(json.dumps(usual).encode()).scale([NAME], 8) == 1
    with pytest.raises(FactsError, match="is not read") as refused:
        from_file(json.dumps(usual | {option: METHODS[option]}).encode())
    assert refused.value.reason is Reason.UNSUPPORTED_FORMAT


def test_patterns_of_many_modules_take_no_time() -> None:
    made = config(alpha_pattern={f"{'.' * 300}{i}": 1 for i in range(100)})
    began = time.process_time()
    for i in range(100):
        made.scale([f"{i}." + "a." * 250], rank=4)
    assert time.process_time() - began < 5


def test_the_metadata_of_diffusers_names_the_component() -> None:
    text = json.dumps({"unet.lora_alpha": 8, "unet.r": 4, "text_encoder.lora_alpha": 2})
    made = from_metadata({DIFFUSERS_KEY: text})
    assert made["unet"].scale([NAME], 4) == 2.0
    assert made["text_encoder"].scale(["q_proj"], 4) == 0.5


def test_a_file_without_metadata_says_nothing() -> None:
    assert from_metadata({"format": "pt"}) == {}


@pytest.mark.parametrize(
    "content",
    [
        b"not json",
        b"[]",
        b'{"peft_type": "VBLORA"}',
        b'{"peft_type": "OFT"}',
        b'{"peft_type": "OFT", "oft_block_size": 4}',
        b'{"peft_type": "OFT", "oft_block_size": 4, "use_cayley_neumann": 1}',
        b'{"peft_type": "OFT", "oft_block_size": 4, "use_cayley_neumann": false, "coft": true}',
        b'{"peft_type": "OFT", "oft_block_size": 4, "use_cayley_neumann": false, "coft": true, "eps": 0}',
        *(
            json.dumps(OFT | changed).encode()
            for changed in (
                {"peft_version": "0.17.1"},
                {"peft_version": None},
                {"num_cayley_neumann_terms": 0},
                {"num_cayley_neumann_terms": 21},
                {"num_cayley_neumann_terms": 5.0},
                {"num_cayley_neumann_terms": True},
            )
        ),
        b'{"lora_alpha": "8"}',
        b'{"alpha_pattern": {"a": "b"}}',
        b'{"alpha_pattern": {"(a+)+$": 1}}',
        b'{"alpha_pattern": {"a|b": 1}}',
        b'{"alpha_pattern": {"a.*": 1}}',
        b'{"alpha_pattern": {"%s": 1}}' % (b"a" * 600),
        b'{"lora_alpha": 1%s}' % (b"0" * 400),
        b'{"r": 1%s}' % (b"0" * 400),
        b'{"alpha_pattern": {"a": 1%s}}' % (b"0" * 400),
        b'{"peft_type": ["LORA"]}',
        b'{"peft_type": {"LORA": 1}}',
        b'{"lora_alpha": null}',
        b'{"init_lora_weights": "lora_ga"}',
        b'{"lora_alpha": NaN}',
        b'{"lora_alpha": Infinity}',
        b'{"lora_alpha": true}',
        b'{"lora_alpha": 1e999}',
        b'{"alpha_pattern": {"a": NaN}}',
        b'{"init_lora_weights": "pissa_niter_4"}',
        b'{"init_lora_weights": "olora"}',
    ],
)
def test_what_nobody_can_read_is_refused_and_not_guessed(content: bytes) -> None:
    with pytest.raises(FactsError) as refused:
        from_file(content)
    assert refused.value.reason is Reason.UNSUPPORTED_FORMAT
