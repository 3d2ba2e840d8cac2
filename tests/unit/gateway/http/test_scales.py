"""How requests say the scale of an adapter by step, by block and by text encoder; what is refused before any pod."""

import json
from typing import Any

import httpx
import pytest
from tests.unit.gateway.fakes import FakePod, World

from lorapool_api.wire.weighting.scale import Weighting
from lorapool_gateway.errors import BadRequest
from lorapool_gateway.http.fields.scales import scale_of_tag

PRESET = Weighting(steps=((0, 0.8),), blocks="OUTALL")
LIST = (0.5, *(1.0,) * 11)


async def ask(world: World, body: Any, path: str = "/v1/images/generations") -> httpx.Response:
    async with world.client() as client:
        return await client.post(path, json={"prompt": "a cat", **body})


def item(**said: Any) -> dict[str, Any]:
    return {"loras": [{"name": "pixel", **said}]}


@pytest.mark.parametrize(
    ("said", "scale"),
    [
        ({"scale": [[0, 1.0], [0.5, 0.3]]}, Weighting(steps=((0, 1.0), (0.5, 0.3)))),
        ({"weight": [[0, 0.4]]}, 0.4),
        ({"scale": 0.8, "text_encoder_scale": 0.2}, Weighting(steps=((0, 0.8),), text_encoder=0.2)),
        ({"scale": 0.8, "textEncoderScale": 0.8}, 0.8),
        ({"text_encoder_scale": 0}, Weighting(text_encoder=0.0)),
        ({"scale": 0.8, "blocks": "OUTALL"}, PRESET),
        ({"blocks": list(LIST)}, Weighting(blocks=LIST)),
        ({"scale": [[0, 1], [0.25, 0]], "blocks": "MIDD"}, Weighting(steps=((0, 1), (0.25, 0)), blocks="MIDD")),
    ],
)
async def test_an_item_says_more_than_a_number(world: World, pod: FakePod, said: Any, scale: Any) -> None:
    reply = await ask(world, item(**said))
    assert reply.status_code == 200, reply.text
    assert pod.received[-1].adapters[0].scale == scale
    assert type(pod.received[-1].adapters[0].scale) is type(scale)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"scale": []}, "1 to 16 pairs"),
        ({"scale": [[i / 20, 1] for i in range(20)]}, "1 to 16 pairs"),
        ({"scale": [[0, 1]] * 10_000}, "1 to 16 pairs"),
        ({"scale": [0, 1]}, "1 to 16 pairs"),
        ({"scale": [[0, 1, 2]]}, "1 to 16 pairs"),
        ({"scale": [[0, 1], [0.5, 1e9]]}, "must be -10 to 10, not '1000000000.0'"),
        ({"scale": [[0, True]]}, "must be -10 to 10"),
        ({"scale": [[0.1, 1]]}, "must begin at step 0"),
        ({"scale": [[0, 1], [0.5, 2], [0.5, 3]]}, "must begin after the one before it"),
        ({"scale": [[0, 1], [1, 2]]}, "less than 1"),
        ({"scale": [[-0.5, 1]]}, "greater than or equal to 0"),
        ({"scale": [["x", 1]]}, "valid number"),
        ({"scale": {"steps": [[0, 1]]}}, "must be -10 to 10"),
        ({"scale": 1, "text_encoder_scale": "loud"}, "must be -10 to 10, not 'loud'"),
        ({"text_encoder_scale": 1, "textEncoderScale": 1}, "exactly one of text_encoder_scale and textEncoderScale"),
        ({"blocks": "OUTIES"}, "blocks are a preset (NONE, ALL, INS"),
        ({"blocks": [1] * 13}, "a list of 12, 17, 20, 26 weights"),
        ({"blocks": [1] * 10_000}, "a list of 12, 17, 20, 26 weights"),
        ({"blocks": 1}, "blocks are a preset"),
        ({"blocks": ["1"] * 11 + ["nan"]}, "must be -10 to 10, not 'nan'"),
    ],
)
async def test_what_no_scale_may_be_reaches_no_pod(world: World, pod: FakePod, said: Any, words: str) -> None:
    reply = await ask(world, item(**said))
    assert reply.status_code == 400, reply.text
    assert words in reply.json()["error"]["message"]
    assert not pod.received


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
async def test_json_without_such_numbers_has_no_such_scales(world: World, pod: FakePod, number: str) -> None:
    async with world.client() as client:
        body = f'{{"prompt": "a", "loras": [{{"name": "pixel", "scale": [[0, {number}]]}}]}}'
        reply = await client.post("/v1/images/generations", content=body)
    assert reply.status_code == 400
    assert not pod.received


def weighting(denoiser: float, text: float, **more: Any) -> Weighting:
    return Weighting(steps=((0, denoiser),), text_encoder=text, **more)


@pytest.mark.parametrize(
    ("tag", "name", "scale"),
    [
        ("a", "a", None),
        ("a:0.8", "a", 0.8),
        ("a:0.8:0.5", "a", weighting(0.5, 0.8)),
        ("a:te=0.2:unet=0.9", "a", weighting(0.9, 0.2)),
        ("a:te=0.2", "a", 0.2),
        ("a:unet=0.9", "a", weighting(0.9, 1.0)),
        ("a:0.8:unet=0.9", "a", weighting(0.9, 0.8)),
        ("a:0.8:0.5:te=0.1", "a", weighting(0.5, 0.1)),
        ("a:0.8:lbw=OUTALL", "a", PRESET),
        ("a:1:1:lbw=" + ",".join("1" * 17), "a", Weighting(steps=((0, 1),), blocks=(1.0,) * 17)),
        ("a:lbw=OUTALL", "a", Weighting(blocks="OUTALL")),
        ("a:0.8:OUTALL", "a", PRESET),
        (f"a@sha256:{'0' * 64}:0.8:lbw=OUTALL", f"a@sha256:{'0' * 64}", PRESET),
        ("a:0.8:start=5", "a", Weighting(steps=((0, 0), (0.25, 0.8)), text_encoder=0.8)),
        ("a:0.8:stop=5", "a", Weighting(steps=((0, 0.8), (0.25, 0)))),
        ("a:0.8:step=5-10", "a", Weighting(steps=((0, 0), (0.25, 0.8), (0.5, 0)), text_encoder=0.8)),
        ("a:0.8:stop=99", "a", 0.8),
    ],
)
def test_tags_are_read_as_a1111_and_its_extension_read_them(tag: str, name: str, scale: Any) -> None:
    assert scale_of_tag(tag, steps=20) == (name, scale)


@pytest.mark.parametrize(
    ("tag", "steps", "words"),
    [
        ("a:loud", 20, "must be -10 to 10"),
        ("a:0.8:dyn=4", 20, "a tag has a name, a scale, and te="),
        ("a:1:1:1:1", 20, "a tag has a name, a scale, and te="),
        ("a:te=1:te=2", 20, "a tag has a name, a scale, and te="),
        ("a:lbw=MINE", 20, "blocks are a preset"),
        ("a:lbw=" + ",".join("R" * 17), 20, "must be -10 to 10"),
        ("a:" + "1:" * 100_000, 20, "a tag has a name, a scale, and te="),
        ("a:start=20", 20, "count steps from 0 to those of the request (20)"),
        ("a:stop=0", 20, "count steps"),
        ("a:step=10-5", 20, "count steps"),
        ("a:start=-1", 20, "count steps"),
        ("a:start=x", 20, "count steps"),
        ("a:step=5", None, "(it says none)"),
    ],
)
def test_tags_that_make_no_sense_are_refused(tag: str, steps: int | None, words: str) -> None:
    with pytest.raises(BadRequest) as refused:
        scale_of_tag(tag, steps)
    assert words in str(refused.value)


async def test_a_tag_of_the_webui_counts_the_steps_of_its_request(world: World, pod: FakePod) -> None:
    body = {"prompt": "a <lora:pixel:0.8:lbw=OUTALL:stop=4>", "steps": 8}
    reply = await ask(world, body, "/sdapi/v1/txt2img")
    assert reply.status_code == 200, reply.text
    (use,) = pod.received[-1].adapters
    assert use.scale == Weighting(steps=((0, 0.8), (0.5, 0)), blocks="OUTALL")
    assert "<lora:pixel:0.8:lbw=OUTALL:stop=4>" in json.loads(reply.json()["info"])["prompt"]


async def test_the_answer_says_what_was_used(world: World, pod: FakePod) -> None:
    reply = await ask(world, item(scale=[[0, 1.0], [0.5, 0.3]], blocks="OUTALL"))
    (used,) = json.loads(reply.headers["x-lorapool-adapters"])
    assert used["scale"] == {"steps": [[0.0, 1.0], [0.5, 0.3]], "blocks": "OUTALL"}
