"""Image-to-image and inpainting in the shape of Hugging Face inference. The bodies are those that clients were seen to
send: huggingface_hub 0.24 to 2.4 alike, curl, and handlers that take the picture beside the prompt.
"""

import asyncio
import base64
import io
import threading
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from tests.unit.gateway.fakes import FakePod, World
from tests.waiting import until

from lorapool_api.wire.request import GENERATE_MAX_BYTES, ControlUse
from lorapool_gateway.held import Bodies
from lorapool_gateway.http.hf.dialect import Sent, parse
from lorapool_gateway.routing.request import ImageRequest
from lorapool_gateway.settings import Settings
from lorapool_gateway.spool.body import Spool
from lorapool_gateway.spool.disk import Disk


def picture(format_: str = "PNG", size: tuple[int, int] = (16, 16)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, "red").save(buffer, format_)
    return buffer.getvalue()


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


PNG, MASK = picture(), picture(size=(8, 8))


async def post(world: World, path: str = "/", **sent: Any) -> httpx.Response:
    async with world.client() as client:
        return await client.post(path, **sent)


async def test_image_to_image_of_huggingface_hub_reaches_the_pod_as_a_picture(world: World, pod: FakePod) -> None:
    parameters = {
        "prompt": "a blue circle",
        "negative_prompt": "x",
        "num_inference_steps": 3,
        "guidance_scale": 2.0,
        "strength": 0.5,
        "target_size": {"width": 64, "height": 32},
    }
    reply = await post(world, json={"inputs": text(PNG), "parameters": parameters}, headers={"lora": "pixel"})
    assert reply.status_code == 200, reply.text
    got = pod.received[0]
    assert (got.prompt, got.image, got.strength) == ("a blue circle", text(PNG), 0.5)
    assert (got.width, got.height, got.steps) == (64, 32, 3)
    assert [use.key for use in got.adapters] == ["default/pixel"]
    assert "x-lorapool-warnings" not in reply.headers


@pytest.mark.parametrize("content_type", [None, "image/png", "application/octet-stream", "application/json"])
async def test_raw_bytes_are_a_picture_whatever_they_are_called(
    world: World, pod: FakePod, content_type: str | None
) -> None:
    headers = {"content-type": content_type} if content_type else {}
    reply = await post(world, content=PNG, headers=headers)
    assert reply.status_code == 200, reply.text
    assert (pod.received[0].image, pod.received[0].prompt) == (text(PNG), "")


async def test_parameters_of_raw_bytes_come_in_the_query(world: World, pod: FakePod) -> None:
    query = {"prompt": "a blue circle", "strength": "0.5", "num_inference_steps": "3", "lora": "pixel:0.5"}
    reply = await post(world, content=picture("JPEG"), params=query)
    assert reply.status_code == 200, reply.text
    got = pod.received[0]
    assert (got.prompt, got.strength, got.steps) == ("a blue circle", 0.5, 3)
    assert [(use.key, use.scale) for use in got.adapters] == [("default/pixel", 0.5)]


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": text(PNG), "parameters": {"prompt": "a cat", "mask_image": text(MASK)}},
        {"inputs": text(PNG), "mask_image": text(MASK), "parameters": {"prompt": "a cat"}},
        {"inputs": "a cat", "image": text(PNG), "mask_image": text(MASK)},
        {"inputs": "a cat", "parameters": {"image": text(PNG), "mask": text(MASK)}},
        {"image": text(PNG), "mask": text(MASK), "parameters": {"prompt": "a cat"}},
    ],
)
async def test_inpainting_is_a_picture_a_mask_and_a_prompt_wherever_they_stand(
    world: World, pod: FakePod, body: dict[str, Any]
) -> None:
    reply = await post(world, json=body)
    assert reply.status_code == 200, reply.text
    got = pod.received[0]
    assert (got.prompt, got.image, got.mask) == ("a cat", text(PNG), text(MASK))


@pytest.mark.parametrize(
    "sent",
    [
        f"data:image/png;base64,{text(PNG)}",
        base64.encodebytes(PNG).decode(),
        base64.urlsafe_b64encode(PNG).decode().rstrip("="),
        text(picture("WEBP")),
        text(picture("JPEG")),
    ],
)
async def test_base64_of_any_encoder_reaches_the_pod_in_one_piece(world: World, pod: FakePod, sent: str) -> None:
    reply = await post(world, json={"inputs": sent, "parameters": {"prompt": "a"}})
    assert reply.status_code == 200, reply.text
    assert Image.open(io.BytesIO(base64.b64decode(pod.received[0].image or "", validate=True))).size == (16, 16)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"inputs": text(b"not a picture" * 20)}, "looks like base64, but of no image"),
        ({"inputs": text(picture("GIF"))}, "an image in GIF; PNG, JPEG and WebP are read"),
        ({"inputs": text(picture("BMP"))}, "an image in BMP"),
        ({"inputs": text(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")}, "an image in HEIF or AVIF"),
        ({"inputs": "data:text/plain;base64,aGVsbG8="}, "of no image"),
        ({"inputs": "https://example.org/cat.png"}, "addresses are not fetched"),
        ({"inputs": "a cat", "image": "https://example.org/cat.png"}, "addresses are not fetched"),
        ({"inputs": "a cat", "image": "cat"}, "image must be an image in base64"),
        ({"inputs": text(PNG), "image": text(PNG)}, "both an image"),
        ({"inputs": text(PNG), "parameters": {"mask_image": 5}}, "mask_image must be an image"),
        ({"inputs": "a cat", "parameters": {"prompt": "a dog"}}, "both a prompt"),
        ({"inputs": "a cat", "parameters": {"mask_image": text(MASK)}}, "a mask needs an image"),
        ({"inputs": "a cat", "parameters": {"strength": 0.5}}, "strength needs an image"),
        ({"inputs": text(PNG), "parameters": {"strength": 2}}, "strength"),
        ({"inputs": text(PNG), "parameters": {"target_size": {"width": 8, "height": 8}, "width": 16}}, "differ"),
        ({"inputs": {"image": text(PNG)}}, "inputs must be the prompt"),
    ],
)
async def test_what_is_neither_a_prompt_nor_a_picture_is_never_drawn(
    world: World, pod: FakePod, body: dict[str, Any], words: str
) -> None:
    reply = await post(world, json=body)
    assert reply.status_code == 400, reply.text
    assert words in reply.json()["error"]
    assert len(reply.json()["error"]) < 300
    assert not pod.received


@pytest.mark.parametrize("prompt", ["BMW in the rain", "RIFF", "Qk0", "portrait/photo"])
async def test_words_that_begin_like_a_file_are_words(world: World, pod: FakePod, prompt: str) -> None:
    reply = await post(world, content=prompt)
    assert reply.status_code == 200, reply.text
    assert (pod.received[0].prompt, pod.received[0].image) == (prompt, None)


@pytest.mark.parametrize("content_type", ["image/png", "multipart/form-data; boundary=x"])
async def test_a_body_that_is_called_a_picture_and_is_none_is_refused(world: World, content_type: str) -> None:
    reply = await post(world, content=b"no picture", headers={"content-type": content_type})
    assert reply.status_code == 400
    assert "no PNG, JPEG or WebP" in reply.json()["error"]


def test_the_gateway_takes_what_a_pod_takes() -> None:
    assert Settings().max_body_bytes == GENERATE_MAX_BYTES


async def test_a_prompt_is_bounded_by_its_characters_where_a_body_has_room_for_pictures(pod: FakePod) -> None:
    world = World(max_body_bytes=GENERATE_MAX_BYTES)
    world.pool()
    reply = await post(world, "/v1/images/generations", content=b'{"prompt": "' + b"a" * (1 << 20) + b'"}')
    assert (reply.status_code, "prompt" in reply.text) == (400, True)
    reply = await post(world, "/v1/images/generations", content=b'{"prompt": "' + b"a" * GENERATE_MAX_BYTES + b'"}')
    assert reply.status_code == 413


LARGE = b'{"inputs": "' + base64.b64encode(PNG + bytes(6 << 20)) + b'", "parameters": {"prompt": "a"}}'


async def chunks(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 1 << 16):
        yield body[start : start + (1 << 16)]


@pytest.mark.parametrize(("body", "in_thread"), [(LARGE, True), (b'{"inputs": "a cat"}', False)])
async def test_only_a_large_body_is_read_in_a_thread(body: bytes, in_thread: bool) -> None:
    threads: list[int] = []

    def read(data: bytes) -> ImageRequest:
        threads.append(threading.get_ident())
        return parse(data, Sent())

    with Spool(Bodies()).body() as taken:
        await taken.add(body)
        await taken.parsed(read)
    assert (threads != [threading.get_ident()]) is in_thread


@pytest.mark.parametrize("on_disk", [False, True])
async def test_a_held_request_keeps_its_picture_once_and_no_body(tmp_path: Path, on_disk: bool) -> None:
    world = World(max_body_bytes=GENERATE_MAX_BYTES, disk=Disk(tmp_path) if on_disk else None)
    world.pool()  # and no pod, so the request is held
    async with world.client() as client:
        tracemalloc.start()
        try:
            held = asyncio.create_task(client.post("/", content=chunks(LARGE)))
            waits = b'lorapool_gateway_waiting_requests{pool="default/shapes"} 1.0'
            await until(lambda: waits in world.metrics.text(), "the request is held", deadline_s=30)
            # The thread that read the body lets go of it a moment after the request goes on.
            most = 1 << 20 if on_disk else 1.5 * len(LARGE)
            await until(lambda: tracemalloc.get_traced_memory()[0] < most, f"less than {most:.0f} bytes are kept")
        finally:
            tracemalloc.stop()
        held.cancel()


async def test_a_large_body_that_says_so_goes_to_disk_as_it_comes(tmp_path: Path) -> None:
    world = World(max_body_bytes=GENERATE_MAX_BYTES, max_held_bytes=512 << 10, disk=Disk(tmp_path))
    world.pool()
    world.pod()
    sent = PNG + bytes(4 << 20)
    announced = {"content-length": str(len(sent))}
    assert (await post(world, content=chunks(sent), headers=announced)).status_code == 200
    assert (await post(world, content=chunks(sent))).status_code == 429, "it gathers in memory until it is known"


@pytest.mark.parametrize("padding", [0, 2 << 20])
@pytest.mark.parametrize("dialect", ["openai", "hf"])
async def test_pictures_that_control_reach_the_pod(dialect: str, padding: int) -> None:
    world = World(max_body_bytes=GENERATE_MAX_BYTES)
    world.pool()
    world.adapter("pixel")
    pod = world.pod()
    sent = text(PNG + bytes(padding))
    controls = [{"name": "edges", "image": f"data:image/png;base64,{sent}", "scale": 0.5, "end": 0.8}]
    if dialect == "openai":
        reply = await post(world, "/v1/images/generations", json={"prompt": "a cat", "controls": controls})
    else:
        reply = await post(world, json={"inputs": "a cat", "parameters": {"controls": controls}})
    assert reply.status_code == 200, reply.text
    assert pod.received[0].controls == (ControlUse(name="edges", image=sent, scale=0.5, end=0.8),)


@pytest.mark.parametrize("dialect", ["openai", "hf"])
async def test_a_mask_of_an_adapter_reaches_the_pod(world: World, pod: FakePod, dialect: str) -> None:
    loras = [{"name": "pixel", "scale": 0.5, "mask": f"data:image/png;base64,{text(MASK)}"}]
    if dialect == "openai":
        reply = await post(world, "/v1/images/generations", json={"prompt": "a cat", "loras": loras})
    else:
        reply = await post(world, json={"inputs": "a cat", "parameters": {"loras": loras}})
    assert reply.status_code == 200, reply.text
    (use,) = pod.received[0].adapters
    assert (use.key, use.scale, use.mask) == ("default/pixel", 0.5, text(MASK))


@pytest.mark.parametrize("mask", [7, "a cat", "https://there/x.png", text(picture("GIF")), {}])
async def test_what_is_no_mask_is_refused(world: World, pod: FakePod, mask: Any) -> None:
    reply = await post(world, json={"inputs": "a cat", "loras": [{"name": "pixel", "mask": mask}]})
    assert (reply.status_code, "loras.mask" in reply.text) == (400, True), reply.text
    assert not pod.received


@pytest.mark.parametrize(
    ("controls", "why"),
    [
        ({"name": "edges"}, "a list of at most 3"),
        ([{"name": "edges", "image": text(PNG)}] * 4, "a list of at most 3"),
        (["edges"], "a list of at most 3"),
        ([{"name": "edges"}], "controls.image must be an image"),
        ([{"name": "edges", "image": text(PNG), "weight": 1}], "no field 'weight'"),
        ([{"name": "edges", "image": text(PNG), "scale": 9}], "controls.scale"),
        ([{"image": text(PNG)}], "controls.name"),
    ],
)
async def test_what_is_no_control_is_refused_in_one_sentence(world: World, controls: Any, why: str) -> None:
    reply = await post(world, json={"inputs": "a cat", "parameters": {"controls": controls}})
    assert (reply.status_code, why in reply.text) == (400, True), reply.text
