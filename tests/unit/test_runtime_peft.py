"""What PEFT's configuration says the weights mean."""

import json
import math

import pytest

from lorapool_api.conditions import Reason
from lorapool_api.hints import DIFFUSERS_KEY
from lorapool_runtime.errors import AdapterError
from lorapool_runtime.formats.peft import PeftConfig, from_file, from_metadata

NAME = "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"


def config(**values: object) -> PeftConfig:
    return from_file(json.dumps({"peft_type": "LORA", **values}).encode())


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
        b'{"peft_type": "IA3"}',
        b'{"lora_alpha": "8"}',
        b'{"alpha_pattern": {"a": "b"}}',
        b'{"alpha_pattern": {"(a+)+$": 1}}',
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
    with pytest.raises(AdapterError) as refused:
        from_file(content)
    assert refused.value.reason is Reason.UNSUPPORTED_FORMAT
