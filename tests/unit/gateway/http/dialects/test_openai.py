"""The OpenAI shape."""

import base64
import io
from typing import Any

import pytest
from PIL import Image
from tests.unit.gateway.fakes import FakePod, World, encoded_image

from lorapool_api.kinds.conditions import Reason
from lorapool_api.wire.reply import ErrorCode, ErrorReply
from lorapool_api.wire.request import HiresPass, ImageFormat, Upscaler


async def post(world: World, **body: Any) -> Any:
    async with world.client() as client:
        return await client.post("/v1/images/generations", json=body)


async def test_n_images_come_with_their_seeds(world: World, pod: FakePod) -> None:
    reply = await post(world, model="pixel", prompt="a cat", n=2, size="64x128", seed=9)
    assert reply.status_code == 200, reply.text
    body = reply.json()
    assert [row["seed"] for row in body["data"]] == [9, 10]
    assert base64.b64decode(body["data"][1]["b64_json"]) == encoded_image(10, ImageFormat.PNG)
    assert (body["size"], body["output_format"]) == ("64x128", "png")
    assert (pod.received[0].width, pod.received[0].height, pod.received[0].images) == (64, 128, 2)
    assert reply.headers["x-lorapool-pod"] == pod.name


async def test_what_is_left_out_is_left_to_the_pool(world: World, pod: FakePod) -> None:
    await post(world, prompt="a cat", size="auto", n=None)
    got = pod.received[0]
    assert (got.width, got.height, got.steps, got.seed, got.images) == (None, None, None, None, 1)


async def test_a_url_is_the_image_itself_where_the_pool_says_so(world: World, pod: FakePod) -> None:
    world.pool(serving={"imageUrls": "Data"})
    reply = await post(world, model="shapes", prompt="a cat", response_format="url", output_format="webp")
    head, _, data = reply.json()["data"][0]["url"].partition(",")
    assert head == "data:image/webp;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).format == "WEBP"


async def test_extra_fields_make_a_stack_and_steer_the_sampler(world: World, pod: FakePod) -> None:
    loras = [{"name": "pixel", "scale": 0.8}, {"name": "ink", "scale": 0.5}]
    sampler = {"steps": 7, "scheduler": "euler-a", "timestep_spacing": "trailing", "prompt_syntax": "Compel"}
    hires = {"scale": 1.5, "upscaler": "Latent"}
    await post(world, model="shapes", prompt="a", loras=loras, guidance_scale=1.5, hires=hires, **sampler)
    got = pod.received[0]
    assert got.hires == HiresPass(scale=1.5, upscaler=Upscaler.LATENT)
    assert (got.timestep_spacing, got.prompt_syntax) == ("trailing", "Compel")
    assert [(use.key, use.scale) for use in got.adapters] == [("default/pixel", 0.8), ("default/ink", 0.5)]
    assert (got.steps, got.scheduler, got.guidance_scale) == (7, "euler-a", 1.5)


async def test_fields_without_effect_are_accepted_and_named(world: World, pod: FakePod) -> None:
    reply = await post(world, prompt="a cat", user="me", quality="high", background="opaque")
    assert reply.status_code == 200
    for name in ("user", "quality", "background"):
        assert name in reply.headers["x-lorapool-warnings"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": 5}, "prompt"),
        ({"prompt": "a", "size": "big"}, "size"),
        ({"prompt": "a", "size": "0x8"}, "width"),
        ({"prompt": "a", "size": "8192x8192"}, "size"),
        ({"prompt": "a", "n": 0}, "n"),
        ({"prompt": "a", "n": 99}, "n"),
        ({"prompt": "a", "n": 10**400}, "n"),
        ({"prompt": "a", "response_format": "file"}, "response_format"),
        ({"prompt": "a", "output_format": "gif"}, "output_format"),
        ({"prompt": "a", "stream": True, "partial_images": 4}, "partial_images"),
        ({"prompt": "a", "scheduler": "magic"}, "scheduler"),
        ({"prompt": "a", "loras": 5}, "loras"),
        ({"prompt": "a", "model": 5}, "model"),
        ({"prompt": "a", "model": "x" * 400}, "model"),
    ],
)
async def test_bad_input_names_the_field_and_is_not_to_be_retried(
    world: World, pod: FakePod, body: dict[str, Any], param: str
) -> None:
    reply = await post(world, **body)
    assert reply.status_code == 400, reply.text
    error = reply.json()["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert reply.headers["x-should-retry"] == "false"
    assert not pod.received


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'"a"', b"\xff"])
async def test_a_body_that_is_no_object_is_a_400(world: World, body: bytes) -> None:
    async with world.client() as client:
        reply = await client.post("/v1/images/generations", content=body)
    assert reply.status_code == 400
    assert reply.json()["error"]["type"] == "invalid_request_error"


async def test_an_unknown_model_is_a_404_with_near_misses(world: World) -> None:
    reply = await post(world, prompt="a cat", model="pixell")
    assert reply.status_code == 404
    assert reply.json()["error"]["code"] == "model_not_found"
    assert "'pixel'" in reply.json()["error"]["message"]


async def test_an_adapter_that_fails_for_good_is_not_to_be_retried(world: World, pod: FakePod) -> None:
    failed = ErrorReply(code=ErrorCode.ADAPTER_FAILED, message="NaN in up.weight", reason=Reason.INVALID_WEIGHTS)
    pod.troubles.append(failed)
    reply = await post(world, prompt="a cat", model="pixel")
    assert reply.status_code == 422
    assert reply.headers["x-should-retry"] == "false"
    assert "NaN in up.weight" in reply.json()["error"]["message"]


async def test_a_busy_pool_says_when_to_come_back(world: World, pod: FakePod) -> None:
    pod.troubles.extend([ErrorReply(code=ErrorCode.TOO_MANY_PENDING, message="64 requests wait")] * 4)
    reply = await post(world, prompt="a cat")
    assert reply.status_code == 429
    assert (reply.headers["retry-after"], reply.headers["x-should-retry"]) == ("2", "true")


async def test_a_request_that_took_all_of_its_time_is_not_to_be_retried(world: World, pod: FakePod) -> None:
    pod.troubles.append(ErrorReply(code=ErrorCode.TIMEOUT, message="300 s are over"))
    reply = await post(world, prompt="a cat")
    assert (reply.status_code, reply.headers["x-should-retry"]) == (504, "false")


async def test_models_are_listed_and_found_by_any_of_their_names(world: World) -> None:
    async with world.client() as client:
        listed = (await client.get("/v1/models")).json()
        found = (await client.get("/v1/models/nerijs/pixel-art-xl")).json()
        missing = await client.get("/v1/models/nothing/here")
    assert [row["id"] for row in listed["data"]] == ["shapes", "ink", "pixel"]
    assert (found["id"], found["object"], found["kind"]) == ("nerijs/pixel-art-xl", "model", "adapter")
    assert missing.status_code == 404
    assert missing.json()["error"]["code"] == "model_not_found"


@pytest.mark.parametrize("path", ["/v1/images/upscale", "/v1/chat/completions"])
async def test_a_route_that_is_not_served_says_which_are(world: World, path: str) -> None:
    async with world.client() as client:
        reply = await client.post(path, content=b"x")
    assert reply.status_code == 404
    assert reply.json()["error"]["code"] == "unknown_url"
    assert "/v1/images/generations" in reply.json()["error"]["message"]


@pytest.mark.parametrize(
    ("code", "status", "named", "again"),
    [
        (ErrorCode.CONTENT_REFUSED, 400, "content_policy_violation", "false"),
        (ErrorCode.NOT_CHECKED, 503, "not_checked", "true"),
    ],
)
async def test_what_the_pools_checker_keeps_is_told_in_words_that_clients_know(
    world: World, pod: FakePod, code: ErrorCode, status: int, named: str, again: str
) -> None:
    pod.troubles.append(ErrorReply(code=code, message="the pool's checker said so", retryable=status == 503))
    reply = await post(world, prompt="a cat")
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, named)
    assert reply.headers["x-should-retry"] == again
    assert reply.headers.get("retry-after") == ("2" if status == 503 else None)
    assert "checker" in reply.json()["error"]["message"]
    assert len(pod.received) == 1
