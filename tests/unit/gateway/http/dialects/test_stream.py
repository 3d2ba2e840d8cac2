"""`stream: true` of OpenAI's API: what is seen while images are made."""

import asyncio
import base64
import json
from typing import Any

import openai
import pytest
from tests.unit.gateway.fakes import PREVIEW, FakePod, World, encoded_image
from tests.unit.gateway.http.test_clients import serving
from tests.waiting import until

from lorapool_api.wire.reply import ErrorCode, ErrorReply
from lorapool_api.wire.request import ImageFormat


async def events_of(world: World, path: str = "generations", **body: Any) -> list[dict[str, Any]]:
    async with world.client() as client:
        reply = await client.post(f"/v1/images/{path}", json={"prompt": "a cat", "stream": True, **body})
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"].startswith("text/event-stream")
    found = []
    for text in reply.text.split("\n\n")[:-1]:
        name, _, data = text.partition("\ndata: ")
        found.append(json.loads(data))
        assert name == f"event: {found[-1]['type']}"
    return found


async def test_partial_images_come_before_the_image(world: World, pod: FakePod) -> None:
    first, second, done = await events_of(world, partial_images=2, seed=5, size="64x32")
    assert [(row["type"], row["partial_image_index"]) for row in (first, second)] == [
        ("image_generation.partial_image", 0),
        ("image_generation.partial_image", 1),
    ]
    assert (first["b64_json"], first["size"]) == (PREVIEW, "64x32")
    assert done["type"] == "image_generation.completed"
    assert base64.b64decode(done["b64_json"]) == encoded_image(5, ImageFormat.PNG)
    assert (done["seed"], done["usage"]["images"], done["usage"]["device_seconds"]) == (5, 1, 1.55)
    assert pod.received[0].previews == 2


async def test_without_partial_images_there_is_one_event_for_each_image(world: World, pod: FakePod) -> None:
    rows = await events_of(world, n=2, seed=5)
    assert [(row["type"], row["image_index"], row["seed"]) for row in rows] == [
        ("image_generation.completed", 0, 5),
        ("image_generation.completed", 1, 6),
    ]
    assert pod.received[0].previews == 0


async def test_an_edit_has_events_of_its_own(world: World, pod: FakePod) -> None:
    picture = base64.b64encode(encoded_image(1, ImageFormat.PNG)).decode()
    rows = await events_of(world, "edits", partial_images=1, image=picture)
    assert [row["type"] for row in rows] == ["image_edit.partial_image", "image_edit.completed"]


async def test_what_fails_before_the_first_event_has_its_status(world: World, pod: FakePod) -> None:
    async with world.client() as client:
        reply = await client.post("/v1/images/generations", json={"prompt": "a", "stream": True, "model": "pixell"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "model_not_found")


async def test_what_fails_after_it_is_an_event(world: World, pod: FakePod) -> None:
    pod.troubles.append(ErrorReply(code=ErrorCode.ADAPTER_FAILED, message="NaN"))
    partial_image, error = await events_of(world, partial_images=1)
    assert partial_image["type"] == "image_generation.partial_image"
    assert (error["type"], error["error"]["code"]) == ("error", "adapter_unavailable")
    assert "NaN" in error["error"]["message"]


async def test_without_stream_no_step_is_asked_for(world: World, pod: FakePod) -> None:
    async with world.client() as client:
        reply = await client.post("/v1/images/generations", json={"prompt": "a", "partial_images": 2})
    assert "data" in reply.json()
    assert pod.received[0].previews == 0


async def test_openai_client_sees_what_its_picture_becomes(world: World) -> None:
    world.pod()
    async with serving(world) as url, openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="any") as client:
        stream = await client.images.generate(prompt="a cat", model="shapes", stream=True, partial_images=2)
        kinds = [event.type async for event in stream]
        with pytest.raises(openai.NotFoundError):
            await client.images.generate(prompt="a cat", model="shape", stream=True)
    assert kinds == ["image_generation.partial_image"] * 2 + ["image_generation.completed"]


async def test_a_client_that_goes_amid_a_stream_cancels_its_request(world: World) -> None:
    pod = world.pod(hold=asyncio.Event())
    async with serving(world) as url, openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="any") as client:
        stream = await client.images.generate(prompt="a cat", model="shapes", stream=True, partial_images=1)
        async for event in stream:
            assert event.type == "image_generation.partial_image"
            break
        await stream.close()
        await until(pod.was_cancelled.is_set, "the pod's work is cancelled")
