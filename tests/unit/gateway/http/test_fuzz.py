"""Whatever is sent, the answer is an image or a 4xx in the shape of the dialect."""

import asyncio
import base64
import functools
import json
from typing import Any

import httpx
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.gateway.fakes import World, encoded_image

from lorapool_api.wire.request import ImageFormat

FIELDS = (
    *("inputs", "prompt", "model", "n", "size", "seed", "loras", "lora", "scheduler", "stream", "output_format"),
    *("image", "mask_image", "mask", "parameters"),
)
PARAMETERS = (
    *("width", "height", "seed", "guidance_scale", "num_inference_steps", "negative_prompt", "loras", "lora"),
    *("prompt", "image", "mask_image", "strength", "target_size", "extra_body"),
)
PICTURE = base64.b64encode(encoded_image(1, ImageFormat.PNG)).decode()

USUAL: tuple[Any, ...] = (
    "a cat",
    "pixel",
    "pixel:0.5",
    "shapes",
    "euler-a",
    "64x64",
    64,
    1,
    0.5,
    [],
    {"name": "pixel"},
    {"name": "pixel", "weight": 0.5},
    "a <lora:pixel:0.8>",
    "data:image/png;base64,",
    PICTURE,
    PICTURE[:40],
    {"width": 64, "height": 64},
)
PATHS = ("/", "/models/pixel", "/v1/images/generations", "/?prompt=a&strength=0.5&lora=pixel")
STARTS = st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF....WEBP", b"GIF89a", b"BM"])


def encode(value: Any) -> bytes:
    return json.dumps(value).encode()


def objects(names: tuple[str, ...]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with fields that mean something here, and others, of values that may or may not fit."""
    return st.dictionaries(st.sampled_from(names) | st.text(max_size=5), values, max_size=6)


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
values = st.recursive(st.sampled_from(USUAL) | scalars, nested, max_leaves=6)
requests = st.fixed_dictionaries({"inputs": st.sampled_from(USUAL), "parameters": objects(PARAMETERS)})
bodies = st.builds(bytes.__add__, STARTS, st.binary(max_size=60)) | (objects(FIELDS) | requests).map(encode)
header_texts = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)


@functools.cache
def world() -> World:
    """One for all: none of these requests changes it."""
    made = World()
    made.pool()
    made.adapter("pixel")
    made.pod()
    return made


async def ask(path: str, body: bytes, lora: str | None) -> httpx.Response:
    async with world().client() as client:
        return await client.post(path, content=body, headers={} if lora is None else {"lora": lora})


def sentence(reply: httpx.Response, path: str) -> Any:
    error = reply.json()["error"]
    return error["message"] if path.startswith("/v1") else error


@settings(max_examples=150, deadline=None)
@given(path=st.sampled_from(PATHS), body=bodies, lora=st.none() | header_texts)
def test_nothing_that_a_client_sends_breaks_the_gateway(path: str, body: bytes, lora: str | None) -> None:
    reply = asyncio.run(ask(path, body, lora))
    if reply.status_code == httpx.codes.OK:
        return
    assert 400 <= reply.status_code < 500, reply.text
    assert 0 < len(sentence(reply, path)) < 600
