"""The clients that people use, over real sockets."""

import asyncio
import base64
import contextlib
import socket
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import httpx
import openai
import pytest
import uvicorn
from huggingface_hub import ImageToImageTargetSize, InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from tests.unit.gateway.fakes import World, encoded_image
from tests.waiting import until

from lorapool_api.wire.reply import ErrorCode, ErrorReply
from lorapool_api.wire.request import ImageFormat


@contextlib.asynccontextmanager
async def serving(world: World) -> AsyncIterator[str]:
    """The gateway's address while it serves."""
    server = uvicorn.Server(uvicorn.Config(world.app, log_config=None, lifespan="off", timeout_graceful_shutdown=1))
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
    listener = socket.create_server(("127.0.0.1", 0))
    running = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await until(lambda: server.started, "the server listens")
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await running
        listener.close()


async def test_hugging_face_client_gets_an_image_of_the_adapter_in_its_headers(world: World) -> None:
    pod = world.pod()
    async with serving(world) as url:
        client = InferenceClient(model=url, headers={"lora": "pixel:0.5"}, token="any")
        image = await asyncio.to_thread(client.text_to_image, "a cat", width=64, height=64, seed=4)
    assert image.format == "PNG"
    assert pod.received[0].adapters[0].key == "default/pixel"
    assert (pod.received[0].seed, pod.received[0].width) == (4, 64)


async def test_hugging_face_client_makes_a_picture_from_a_picture(world: World) -> None:
    pod = world.pod()
    sent = encoded_image(9, ImageFormat.PNG)
    async with serving(world) as url:
        client = InferenceClient(model=url, headers={"lora": "pixel"})
        target = ImageToImageTargetSize(width=64, height=32)
        more: dict[str, Any] = {"strength": 0.5, "seed": 4, "extra_body": {"loras": [{"name": "pixel", "weight": 0.5}]}}
        with_words = partial(client.image_to_image, sent, prompt="a blue circle", target_size=target, **more)
        image = await asyncio.to_thread(with_words)
        await asyncio.to_thread(client.image_to_image, sent)
    assert image.format == "PNG"
    worded, raw = pod.received
    assert (worded.prompt, worded.image, worded.strength) == ("a blue circle", base64.b64encode(sent).decode(), 0.5)
    assert (worded.width, worded.height, worded.seed) == (64, 32, 4)
    assert [(use.key, use.scale) for use in worded.adapters] == [("default/pixel", 0.5)]
    assert (raw.prompt, raw.image) == ("", worded.image)
    assert [use.key for use in raw.adapters] == ["default/pixel"]


async def test_hugging_face_client_paints_within_a_mask(world: World) -> None:
    pod = world.pod()
    sent, mask = encoded_image(9, ImageFormat.JPEG), base64.b64encode(encoded_image(8, ImageFormat.PNG)).decode()
    async with serving(world) as url:
        client = InferenceClient(model=f"{url}/models/pixel")
        paint = partial(client.image_to_image, sent, prompt="a hat", mask_image=mask)
        await asyncio.to_thread(paint)
    assert (pod.received[0].mask, pod.received[0].prompt) == (mask, "a hat")


async def test_hugging_face_client_names_adapters_in_its_extra_body(world: World) -> None:
    pod = world.pod()
    async with serving(world) as url:
        client = InferenceClient(model=url)
        await asyncio.to_thread(partial(client.text_to_image, "a cat", extra_body={"lora": "pixel:0.3"}))
        with pytest.raises(HfHubHTTPError, match="not by 'lora_weights'"):
            await asyncio.to_thread(partial(client.text_to_image, "a cat", extra_body={"lora_weights": "pixel"}))
    assert [(use.key, use.scale) for use in pod.received[0].adapters] == [("default/pixel", 0.3)]
    assert len(pod.received) == 1


async def test_openai_client_names_adapters_by_header_and_reads_the_request_id(world: World) -> None:
    pod = world.pod()
    async with serving(world) as url, openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="any") as client:
        reply = await client.images.with_raw_response.generate(
            model="shapes", prompt="a cat", extra_headers={"lora": "pixel:0.4", "x-request-id": "mine"}
        )
        with pytest.raises(openai.NotFoundError) as refused:
            await client.chat.completions.create(model="shapes", messages=[])
    assert [(use.key, use.scale) for use in pod.received[0].adapters] == [("default/pixel", 0.4)]
    assert reply.headers["x-request-id"] == "mine"
    assert refused.value.request_id


async def test_openai_client_sends_what_took_all_of_its_time_only_once(world: World) -> None:
    pod = world.pod()
    pod.troubles.extend([ErrorReply(code=ErrorCode.TIMEOUT, message="300 s are over")] * 9)
    async with serving(world) as url, openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="any") as client:
        with pytest.raises(openai.InternalServerError, match="300 s are over"):
            await client.images.generate(model="pixel", prompt="a cat")
    assert len(pod.received) == 1


async def test_hugging_face_client_finds_the_gateway_in_good_health(world: World) -> None:
    async with serving(world) as url:
        assert await asyncio.to_thread(InferenceClient(model=url, provider="hf-inference").health_check)


async def test_hugging_face_client_shows_the_sentence_of_a_400(world: World) -> None:
    world.pod()
    async with serving(world) as url:
        client = InferenceClient(model=f"{url}/models/nerijs/pixel-art-xl")
        with pytest.raises(HfHubHTTPError, match="multiple of 8"):
            await asyncio.to_thread(client.text_to_image, "a cat", width=63)


async def test_openai_client_gets_images_and_models(world: World) -> None:
    pod = world.pod()
    async with serving(world) as url, openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="any") as client:
        extra = {"seed": 4, "loras": [{"name": "pixel", "scale": 0.8}]}
        reply = await client.images.generate(model="shapes", prompt="a cat", n=2, size="512x512", extra_body=extra)
        models = [model.id async for model in client.models.list()]
        model = await client.models.retrieve("nerijs/pixel-art-xl")
    assert reply.data is not None
    assert base64.b64decode(reply.data[0].b64_json or "") == encoded_image(4, ImageFormat.PNG)
    assert pod.received[0].adapters[0].scale == 0.8
    assert (models, model.id) == (["shapes", "ink", "pixel"], "nerijs/pixel-art-xl")


async def test_openai_client_does_not_retry_an_adapter_that_cannot_work(world: World) -> None:
    pod = world.pod()
    pod.troubles.extend([ErrorReply(code=ErrorCode.ADAPTER_FAILED, message="NaN")] * 9)
    async with serving(world) as url, openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="any") as client:
        with pytest.raises(openai.UnprocessableEntityError, match="NaN"):
            await client.images.generate(model="pixel", prompt="a cat")
        with pytest.raises(openai.NotFoundError, match="did you mean 'pixel'"):
            await client.images.generate(model="pixell", prompt="a cat")
    assert len(pod.received) == 1


async def test_work_for_a_client_that_has_gone_is_cancelled(world: World) -> None:
    pod = world.pod(hold=asyncio.Event())
    async with serving(world) as url, httpx.AsyncClient(base_url=url) as client:
        request = asyncio.create_task(client.post("/", content="a cat"))
        await pod.got_one.wait()
        request.cancel()
        async with asyncio.timeout(5):
            await pod.was_cancelled.wait()
        await until(lambda: b'outcome="client_gone"' in world.metrics.text(), "it is counted")


async def test_a_huge_body_gets_its_answer_over_a_real_connection(world: World) -> None:
    async with serving(world) as url, httpx.AsyncClient(base_url=url) as client:
        reply = await client.post("/v1/images/generations", content=b"a" * (8 << 20))
    assert reply.status_code == 413
    assert reply.json()["error"]["code"] == "body_too_large"


async def test_openai_client_edits_a_picture_and_varies_it(world: World) -> None:
    pod = world.pod()
    sent, mask = encoded_image(9, ImageFormat.PNG), encoded_image(8, ImageFormat.PNG)
    async with serving(world) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="any")
        loras: dict[str, Any] = {"loras": [{"name": "pixel", "scale": 0.5}], "seed": 4}
        edit = partial(client.images.edit, image=sent, mask=mask, prompt="a hat", model="shapes", extra_body=loras)
        edited = await asyncio.to_thread(edit)
        varied = await asyncio.to_thread(partial(client.images.create_variation, image=sent, model="pixel", n=2))
    assert edited.data
    assert varied.data
    assert (len(edited.data), len(varied.data)) == (1, 2)
    first, second = pod.received
    assert (first.image, first.mask) == tuple(base64.b64encode(picture).decode() for picture in (sent, mask))
    assert [(use.key, use.scale) for use in first.adapters] == [("default/pixel", 0.5)]
    assert (first.seed, second.image, second.images) == (4, first.image, 2)
