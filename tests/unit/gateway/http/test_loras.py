"""However a request names an adapter, it is used or the request is refused; never the bare base in silence."""

import json
from typing import Any

import httpx
import pytest
from tests.unit.gateway.fakes import SHA, FakePod, World

from lorapool_api.wire.weighting.scale import Weighting

Used = list[tuple[str, float | Weighting | None]]


def used(pod: FakePod) -> Used:
    return [(use.key.removeprefix("default/"), use.scale) for use in pod.received[-1].adapters]


async def ask(world: World, path: str, body: Any, headers: Any = ()) -> httpx.Response:
    async with world.client() as client:
        return await client.post(path, json=body, headers=httpx.Headers(headers))


@pytest.mark.parametrize("word", ["pixel@sha256:{}:0.5", "<lora:pixel@sha256:{}:0.5>"])
async def test_a_pinned_version_may_have_a_scale_behind_it(world: World, pod: FakePod, word: str) -> None:
    reply = await ask(world, "/", {"inputs": "a cat", "loras": [word.format(SHA)]})
    assert reply.status_code == 200, reply.text
    assert used(pod) == [("pixel", 0.5)]
    other = await ask(world, "/v1/images/generations", {"prompt": "a cat", "model": f"pixel@sha256:{'0' * 64}"})
    assert (other.status_code, other.json()["error"]["code"]) == (409, "version_not_served")
    assert SHA in other.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"lora": "pixel:0.5"}, [("pixel", 0.5)]),
        ({"loras": [{"name": "pixel", "scale": 0.5}, "ink"]}, [("pixel", 0.5), ("ink", None)]),
        ({"loras": [{"name": "pixel", "weight": 0.4}]}, [("pixel", 0.4)]),
        ({"loras": ["<lora:pixel:0.3>"]}, [("pixel", 0.3)]),
        ({"model": "pixel"}, [("pixel", None)]),
        ({"parameters": {"model": "pixel"}}, [("pixel", None)]),
        ({"parameters": {"loras": [{"path": "nerijs/pixel-art-xl", "weight": 2}]}}, [("pixel", 2)]),
        ({"parameters": {"extra_body": {"lora": "pixel"}}}, [("pixel", None)]),  # as huggingface_hub 0.24 sends it
        ({"loras": ["pixel"], "parameters": {"loras": ["pixel"]}}, [("pixel", None)]),
    ],
)
async def test_a_body_names_adapters_beside_the_parameters_or_in_them(
    world: World, pod: FakePod, body: dict[str, Any], expected: Used
) -> None:
    reply = await ask(world, "/", {"inputs": "a cat", **body})
    assert reply.status_code == 200, reply.text
    assert used(pod) == expected
    assert "x-lorapool-warnings" not in reply.headers


@pytest.mark.parametrize("path", ["/", "/v1/images/generations"])
@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([("lora", "pixel:0.5")], [("pixel", 0.5)]),
        ([("lora", "pixel:0.5"), ("lora", "ink")], [("pixel", 0.5), ("ink", None)]),
        ([("lora", "<lora:pixel:0.8>")], [("pixel", 0.8)]),
        ([("lora", "<lora:pixel:0.8> <lora:ink:0.2>")], [("pixel", 0.8), ("ink", 0.2)]),
        ([("loras", "pixel, ink")], [("pixel", None), ("ink", None)]),
    ],
)
async def test_every_header_counts_in_both_dialects(
    world: World, pod: FakePod, path: str, headers: list[tuple[str, str]], expected: Used
) -> None:
    reply = await ask(world, path, {"inputs": "a"} if path == "/" else {"prompt": "a"}, headers)
    assert reply.status_code == 200, reply.text
    assert used(pod) == expected


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"loras": [{"name": "pixel", "strength": 0.4}]}, "'strength' means nothing"),
        ({"loras": [{"name": "pixel", "scale": 1, "weight": 1}]}, "exactly one of scale and weight"),
        ({"lora": "pixel", "loras": ["ink"]}, "use one"),
        ({"lora": "pixel", "parameters": {"lora": "ink"}}, "set twice"),
        ({"lora_weights": "pixel"}, "not by 'lora_weights'"),
        ({"adapter_id": "pixel"}, "not by 'adapter_id'"),
        ({"image_loras": [{"path": "pixel"}]}, "not by 'image_loras'"),
        ({"parameters": {"lora_scale": 0.5}}, "not by 'lora_scale'"),
        ({"parameters": {"cross_attention_kwargs": {"scale": 0.5}}}, "not by 'cross_attention_kwargs'"),
        ({"options": 1, "override_settings": {"sd_lora": "pixel"}}, "not by 'sd_lora'"),
        ({"model": "ink", "parameters": {"model": "pixel"}}, "model is set twice"),
        ({"model": ["ink"]}, "model must be the name"),
        ({"parameters": {"negative_prompt": "x <lora:pixel:1>"}}, "negative prompt"),
    ],
)
async def test_what_cannot_be_honoured_is_refused(world: World, pod: FakePod, body: dict[str, Any], words: str) -> None:
    reply = await ask(world, "/", {"inputs": "a cat", **body})
    assert reply.status_code == 400, reply.text
    assert words in reply.json()["error"]
    assert not pod.received


async def test_a_path_and_a_body_that_name_different_models_are_refused(world: World, pod: FakePod) -> None:
    reply = await ask(world, "/models/ink", {"inputs": "a cat", "model": "pixel"})
    assert reply.status_code == 400
    assert "different models" in reply.json()["error"]


@pytest.mark.parametrize("extra", [{"adapter_id": "pixel"}, {"parameters": {"lora": "pixel"}}])
async def test_other_names_are_refused_in_the_shape_of_openai_too(
    world: World, pod: FakePod, extra: dict[str, Any]
) -> None:
    reply = await ask(world, "/v1/images/generations", {"prompt": "a", **extra})
    assert reply.status_code == 400
    assert not pod.received


async def test_a_header_that_the_body_overrules_is_said(world: World, pod: FakePod) -> None:
    reply = await ask(world, "/", {"inputs": "a", "lora": "ink"}, {"lora": "pixel"})
    assert used(pod) == [("ink", None)]
    assert json.loads(reply.headers["x-lorapool-warnings"]) == [
        "the header lora was set aside: the body names adapters"
    ]


@pytest.mark.parametrize("prompt", ["a red star <lora:pixel:0.8>", "a <LoRA: pixel>", "a star <lora:pixel:0.8"])
async def test_tags_in_the_prompt_are_refused_with_what_to_do(world: World, pod: FakePod, prompt: str) -> None:
    reply = await ask(world, "/", {"inputs": prompt})
    assert reply.status_code == 400
    assert "promptLoras" in reply.json()["error"]
    assert 'use loras: [{"name": "pixel"' in reply.json()["error"]
    assert not pod.received


@pytest.mark.parametrize("path", ["/", "/v1/images/generations"])
async def test_tags_are_adapters_where_the_pool_allows_them(path: str) -> None:
    world = World()
    world.pool(serving={"promptLoras": "Allow"})
    world.adapter("pixel")
    world.adapter("ink")
    pod = world.pod()
    prompt = "a red star <lora:pixel:0.8>, by night <lora:ink>"
    reply = await ask(world, path, {"inputs": prompt} if path == "/" else {"prompt": prompt})
    assert reply.status_code == 200, reply.text
    assert used(pod) == [("pixel", 0.8), ("ink", None)]
    assert pod.received[-1].prompt == "a red star , by night"
    mixed = await ask(world, "/", {"inputs": "a <lora:pixel:0.8>", "loras": ["ink"]})
    assert mixed.status_code == 200
    assert used(pod) == [("ink", None), ("pixel", 0.8)]


@pytest.mark.parametrize(
    ("prompt", "status", "words"),
    [
        ("a <lora:pixel:0.8> <lora:pixel:0.5>", 400, "named twice"),
        ("a <lora:pixel:0.8:dyn=2>", 400, "a tag has a name, a scale, and te="),
        ("a <lora:pixel:strong>", 400, "scale of an adapter"),
        ("a <lora:nobody:1>", 404, "'nobody'"),
        ("<lora:pixel:1>", 400, "prompt is empty"),
        ("a <lora:pixel:1", 200, ""),
        ("a < b and c > d", 200, ""),
    ],
)
async def test_a_tag_that_makes_no_sense_is_refused(prompt: str, status: int, words: str) -> None:
    world = World()
    world.pool(serving={"promptLoras": "Allow"})
    world.adapter("pixel")
    world.pod()
    reply = await ask(world, "/", {"inputs": prompt})
    assert reply.status_code == status, reply.text
    assert words in reply.text


async def test_only_the_pool_that_is_asked_decides_on_tags(world: World, pod: FakePod) -> None:
    world.pool("free", serving={"promptLoras": "Allow"})
    reply = await ask(world, "/models/shapes", {"inputs": "a <lora:pixel:0.8>"})
    assert reply.status_code == 400
    assert "promptLoras" in reply.json()["error"]


async def test_a_tag_may_name_an_adapter_of_a_pool_that_does_not_exist() -> None:
    world = World()
    world.pool(serving={"promptLoras": "Allow"})
    world.adapter("lost", pool="nowhere")
    reply = await ask(world, "/", {"inputs": "a <lora:lost:1>"})
    assert reply.status_code == 404
    assert "default/nowhere" in reply.json()["error"]


async def test_an_adapter_that_lost_its_names_says_so_under_each_of_them(world: World) -> None:
    message = "'nerijs/pixel-art-xl' belongs to adapter default/pixel"
    conflict = {"status": "False", "reason": "NameConflict", "message": message}
    world.adapter("stranger", ready=conflict, modelIds=["nerijs/pixel-art-xl"])
    world.pod()
    reply = await ask(world, "/models/stranger", {"inputs": "a cat"})
    assert reply.status_code == 422
    assert message in reply.json()["error"]
    assert (await ask(world, "/models/nerijs/pixel-art-xl", {"inputs": "a cat"})).status_code == 200


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Euler a", "euler-a"),
        ("euler_ancestral", "euler-a"),
        ("EulerAncestralDiscreteScheduler", "euler-a"),
        ("Euler", "euler"),
        ("DPM++ 2M", "dpmpp-2m"),
        ("dpmpp_2m", "dpmpp-2m"),
        ("DPM++ 2M Karras", "dpmpp-2m-karras"),
        ("uni_pc", "unipc"),
        ("UniPC", "unipc"),
        ("LCM", "lcm"),
        ("DDIM", "ddim"),
    ],
)
async def test_samplers_go_by_the_names_of_other_tools(world: World, pod: FakePod, name: str, expected: str) -> None:
    reply = await ask(world, "/", {"inputs": "a", "parameters": {"scheduler": name, "seed": -1}})
    assert reply.status_code == 200, reply.text
    assert (pod.received[-1].scheduler, pod.received[-1].seed) == (expected, None)


@pytest.mark.parametrize("name", ["DPM++ 2M SDE Karras", "Euler a Karras", "DPM2", "karras"])
async def test_a_sampler_without_an_equal_here_is_refused_with_those_there_are(world: World, name: str) -> None:
    reply = await ask(world, "/v1/images/generations", {"prompt": "a", "scheduler": name})
    assert reply.status_code == 400
    assert "dpmpp-2m-karras" in reply.json()["error"]["message"]
