"""Scales that are more than a number: what they say, and what no scale may be."""

import json
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from lorapool_api.wire.request import GenerateRequest
from lorapool_api.wire.weighting.blocks import PRESETS, SD, SDXL, BlockTable
from lorapool_api.wire.weighting.scale import Scale, Weighting, at, filled, plain, scale_text, starts, times

FALLING = Weighting(steps=((0, 1.0), (0.5, 0.3)))
# The presets of sd-webui-lora-block-weight, as its README and its source have them, for SD 1.x.
LISTED = {
    "NONE": "0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0",
    "ALL": "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1",
    "INS": "1,1,1,1,0,0,0,0,0,0,0,0,0,0,0,0,0",
    "IND": "1,0,0,0,1,1,1,0,0,0,0,0,0,0,0,0,0",
    "INALL": "1,1,1,1,1,1,1,0,0,0,0,0,0,0,0,0,0",
    "MIDD": "1,0,0,0,1,1,1,1,1,1,1,1,0,0,0,0,0",
    "OUTD": "1,0,0,0,0,0,0,0,1,1,1,1,0,0,0,0,0",
    "OUTS": "1,0,0,0,0,0,0,0,0,0,0,0,1,1,1,1,1",
    "OUTALL": "1,0,0,0,0,0,0,0,1,1,1,1,1,1,1,1,1",
    "ALL0.5": ",".join(["0.5"] * 17),
}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_weighs_the_blocks_of_a_lora_as_the_extension_does(name: str) -> None:
    found = SD.weights(name)
    assert [found[block] for block in SD.short] == [float(weight) for weight in LISTED[name].split(",")]


def test_on_sdxl_deep_blocks_are_those_of_its_last_level() -> None:
    def counted(name: str) -> set[str]:
        return {block for block in SDXL.short if SDXL.weights(name)[block]}

    assert counted("OUTD") == {"BASE", "OUT00", "OUT01", "OUT02"}
    assert counted("OUTS") == {"BASE", "OUT03", "OUT04", "OUT05"}
    assert counted("MIDD") == {"BASE", "IN07", "IN08", "MID", "OUT00", "OUT01", "OUT02"}
    assert counted("ALL") == set(SDXL.short)


@pytest.mark.parametrize(("table", "lengths"), [(SD, (17, 26)), (SDXL, (12, 20))])
def test_lists_are_of_the_lengths_that_the_extension_takes(table: BlockTable, lengths: tuple[int, int]) -> None:
    assert table.lengths == lengths
    for length in lengths:
        weights = table.weights(tuple(float(i) for i in range(1, length + 1)))
        assert sorted(w for w in weights.values() if w) == list(range(1, length + 1))
        assert len(weights) == lengths[1]


def test_a_list_of_another_family_is_refused_by_its_length() -> None:
    with pytest.raises(ValueError, match="blocks of SDXL are 12 or 20 weights, not 17"):
        SDXL.weights((1.0,) * 17)


def test_the_scale_of_a_step_is_the_last_that_has_begun_and_keeps_its_text() -> None:
    assert starts(FALLING) == (0, 0.5)
    assert at(FALLING, 0.49) == 1.0
    assert at(FALLING, 0.5) == Weighting(steps=((0, 0.3),), text_encoder=1.0)
    assert (starts(0.8), at(0.8, 0.9)) == ((0.0,), 0.8)


def test_a_scale_that_is_no_more_than_a_number_is_one() -> None:
    assert plain(Weighting(steps=((0, 0.8),), text_encoder=0.8)) == 0.8
    assert plain(Weighting(steps=((0, 0.8),), text_encoder=0.5)) != 0.8
    assert filled(None, 0.7) == 0.7
    assert filled(Weighting(text_encoder=0.7), 0.7) == 0.7
    assert filled(Weighting(blocks="OUTALL"), 0.7) == Weighting(steps=((0, 0.7),), blocks="OUTALL")


def test_a_factor_counts_in_all_parts_and_not_in_blocks() -> None:
    twice = times(Weighting(steps=((0, 1), (0.5, 2)), text_encoder=0.5, blocks=(0.5,) * 12), 2)
    assert twice == Weighting(steps=((0, 2), (0.5, 4)), text_encoder=1, blocks=(0.5,) * 12)
    with pytest.raises(ValueError, match="at most 10"):
        times(FALLING, 20)
    with pytest.raises(ValueError, match="at most 10"):
        times(1.0, float("nan"))


@pytest.mark.parametrize(
    ("scale", "text"),
    [
        (0.8, "0.8"),
        (FALLING, "0->1,0.5->0.3"),
        (Weighting(steps=((0, 0.8),), text_encoder=0.2, blocks="OUTALL"), "0.8 te=0.2 lbw=OUTALL"),
        (Weighting(blocks=(1.0, *(0.5,) * 11)), "lbw=1" + ",0.5" * 11),
    ],
)
def test_people_read_it_as_they_would_type_it(scale: float | Weighting, text: str) -> None:
    assert scale_text(scale) == text


HOSTILE: list[Any] = [
    float("nan"),
    float("inf"),
    11,
    -10.5,
    "much",
    [],
    {"steps": [[0.2, 1]]},
    {"steps": [[0, 1], [0, 2]]},
    {"steps": [[0, 1], [0.5, 2], [0.4, 1]]},
    {"steps": [[0, 1], [1, 2]]},
    {"steps": [[0, float("nan")]]},
    {"steps": [[0, 1e9]]},
    {"steps": [[0, 1, 2]]},
    {"steps": [[i / 17, 1] for i in range(17)]},
    {"steps": [[i / 100_000, 1] for i in range(100_000)]},
    {"text_encoder": float("-inf")},
    {"blocks": "ALLES"},
    {"blocks": [1] * 13},
    {"blocks": [1] * 100_000},
    {"blocks": [float("nan")] * 12},
    {"blocks": [99] * 12},
    {"steps": [[0, 1]], "of_a_newer_version": 1},
]


ANY: TypeAdapter[float | Weighting | None] = TypeAdapter(Scale | None)


@pytest.mark.parametrize("scale", HOSTILE, ids=lambda scale: str(scale)[:40])
def test_what_no_scale_may_be_is_refused_in_json_and_in_python(scale: Any) -> None:
    with pytest.raises(ValidationError):
        ANY.validate_python(scale)
    with pytest.raises(ValidationError):
        ANY.validate_json(json.dumps(scale))


@pytest.mark.parametrize(
    ("scale", "place"),
    [
        (11, "adapters.0.scale"),
        ({"steps": [[0, 11]]}, "adapters.0.scale.steps.0.1"),
        ({"blocks": "OUTIES"}, "adapters.0.scale.blocks"),
        ({"more": 1}, "adapters.0.scale.more"),
    ],
)
def test_what_is_wrong_is_said_of_the_scale_alone(scale: Any, place: str) -> None:
    with pytest.raises(ValidationError) as refused:
        GenerateRequest.model_validate({"prompt": "a", "adapters": [{"key": "a/b", "scale": scale}]})
    assert [".".join(map(str, error["loc"])) for error in refused.value.errors()] == [place]
