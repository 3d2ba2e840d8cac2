"""What a file's metadata says of how it wants to be used."""

import json

import pytest
from tests import make

from lorapool_api.kinds.conditions import Reason
from lorapool_api.kinds.serving import FoundDefaults, SchedulerName
from lorapool_api.lora.declared import DEFAULTS_KEY, declared_use, words_in
from lorapool_api.lora.facts import AdapterFacts, read_facts
from lorapool_api.lora.facts_json import answered, facts_in
from lorapool_api.lora.header import FactsError, parse_header

FEW = {"steps": 4, "guidanceScale": 1, "scheduler": "lcm"}
MODULE = "unet.mid.attn2.to_k"


def facts(shapes: dict[str, tuple[int, ...]], **metadata: str) -> AdapterFacts:
    text, size = make.safetensors_header(shapes, metadata=metadata)
    return read_facts(parse_header(text, size))


def low_rank(*kernel: int) -> dict[str, tuple[int, ...]]:
    return {f"{MODULE}.lora_A.weight": (4, 32, *kernel), f"{MODULE}.lora_B.weight": (16, 4, *(1 for _ in kernel))}


def test_a_file_declares_its_defaults_and_the_words_that_call_it() -> None:
    found = facts(low_rank(), **{DEFAULTS_KEY: json.dumps(FEW), "modelspec.trigger_phrase": "pixel art, tiles"})
    assert found.declared.defaults == FoundDefaults(steps=4, guidance_scale=1.0, scheduler=SchedulerName.LCM)
    assert found.declared.trigger_words == ("pixel art", "tiles")
    assert facts_in(answered(lambda: found)) == found, "as it comes from the process that reads headers"
    assert facts(low_rank()).declared.defaults is None


@pytest.mark.parametrize(
    "text",
    [
        "lcm",
        "[]",
        '{"steps": 0}',
        '{"steps": 4, "sampler": "lcm"}',
        '{"scheduler": "flash"}',
        "[" * 8000,
        '{"negativePrompt": "' + "x" * 9000 + '"}',
    ],
)
def test_a_declaration_that_cannot_be_followed_refuses_the_file_and_is_not_set_aside(text: str) -> None:
    with pytest.raises(FactsError, match=DEFAULTS_KEY) as refused:
        declared_use({DEFAULTS_KEY: text})
    assert refused.value.reason is Reason.UNSUPPORTED_FORMAT
    assert len(refused.value.message) < 500


def test_words_of_strangers_are_few_and_short() -> None:
    assert words_in(", a\nb, " + "x" * 121 + ",ok, " + ",".join(map(str, range(20)))) == ("ok", *map(str, range(7)))


def test_networks_go_by_the_names_that_people_know() -> None:
    assert facts(low_rank()).network_names == ("lora",)
    assert facts(low_rank(3, 3)).network_names == ("locon",)
    assert facts(
        {
            **low_rank(),
            "unet.mid.attn2.to_v.lora_A.weight": (4, 32),
            "unet.mid.attn2.to_v.lora_B.weight": (16, 4),
            "unet.mid.attn2.to_v.lora_magnitude_vector": (16,),
        }
    ).network_names == ("dora", "lora")
