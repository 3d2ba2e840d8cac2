"""OpenAI's edits and variations: forms with files, or JSON."""

import base64
import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.gateway.fakes import FakePod, World, encoded_image

from lorapool_api.wire.request import GENERATE_MAX_BYTES, MAX_PICTURES_CHARACTERS, ImageFormat, MaskReading
from lorapool_gateway.errors import BadRequest
from lorapool_gateway.http.fields.forms import MAX_PARTS, read_form

PNG, JPEG = encoded_image(3, ImageFormat.PNG), encoded_image(4, ImageFormat.JPEG)
IN_BASE64 = base64.b64encode(PNG).decode()
TYPE = "multipart/form-data; boundary=b"


async def send(world: World, path: str, files: Any = (), **data: Any) -> Any:
    async with world.client() as client:
        return await client.post(f"/v1/images/{path}", files=list(files), data=data)


async def test_an_edit_begins_with_the_picture_of_the_form(world: World, pod: FakePod) -> None:
    said = {"prompt": "a blue cat", "model": "pixel", "n": "2", "size": "64x32", "seed": "5", "strength": "0.5"}
    reply = await send(world, "edits", [("image", ("a.png", PNG)), ("mask", ("m.png", PNG))], **said)
    assert reply.status_code == 200, reply.text
    assert [row["seed"] for row in reply.json()["data"]] == [5, 6]
    got = pod.received[0]
    assert (got.image, got.mask, got.mask_reading) == (IN_BASE64, IN_BASE64, MaskReading.TRANSPARENCY)
    assert (got.prompt, got.images, got.width, got.height, got.strength) == ("a blue cat", 2, 64, 32, 0.5)
    assert got.adapters[0].key == "default/pixel"


async def test_an_image_of_a_list_of_one_is_that_image(world: World, pod: FakePod) -> None:
    reply = await send(world, "edits", [("image[]", ("a.jpg", JPEG))], prompt="a")
    assert reply.status_code == 200, reply.text
    assert pod.received[0].image == base64.b64encode(JPEG).decode()
    assert (pod.received[0].mask, pod.received[0].width) == (None, None)


@pytest.mark.parametrize(
    "said",
    [
        {"loras": '[{"name": "pixel", "scale": 0.5}, {"name": "ink"}]'},
        {"loras": "pixel:0.5, ink"},
        {"loras[]": ["pixel:0.5", "ink"]},
        {"loras[][name]": ["pixel", "ink"], "loras[][scale]": ["0.5", "1"]},
    ],
)
async def test_a_form_names_adapters_as_forms_can(world: World, pod: FakePod, said: dict[str, Any]) -> None:
    rows = [{name: [text] if isinstance(text, str) else text for name, text in said.items()}]
    parts = [(n, (None, texts[i])) for row in rows for i in range(2) for n, texts in row.items() if i < len(texts)]
    reply = await send(world, "edits", [("image", ("a.png", PNG)), ("prompt", (None, "a")), *parts])
    assert reply.status_code == 200, reply.text
    assert [use.key for use in pod.received[0].adapters] == ["default/pixel", "default/ink"]
    assert pod.received[0].adapters[0].scale == 0.5


async def test_json_says_the_same(world: World, pod: FakePod) -> None:
    body = {"prompt": "a", "images": [{"image_url": f"data:image/png;base64,{IN_BASE64}"}], "mask": IN_BASE64}
    async with world.client() as client:
        reply = await client.post("/v1/images/edits", json=body)
    assert reply.status_code == 200, reply.text
    assert (pod.received[0].image, pod.received[0].mask) == (IN_BASE64, IN_BASE64)


async def test_the_pictures_after_the_first_are_beside_it(world: World, pod: FakePod) -> None:
    form = await send(world, "edits", [("image[]", ("a", PNG)), *[("image[]", ("b", JPEG))] * 3], prompt="a")
    sent = [IN_BASE64, *[base64.b64encode(JPEG).decode()] * 3]
    async with world.client() as client:
        listed = await client.post("/v1/images/edits", json={"prompt": "a", "image": sent})
    assert (form.status_code, listed.status_code) == (200, 200), (form.text, listed.text)
    assert [(got.image, *got.images_beside) for got in pod.received] == [tuple(sent)] * 2


async def test_pictures_that_a_pod_would_not_take_together_are_refused(pod: FakePod) -> None:
    world = World(max_body_bytes=GENERATE_MAX_BYTES)
    world.pool()
    large = PNG + bytes(MAX_PICTURES_CHARACTERS // 4)
    reply = await send(world, "edits", [("image[]", ("a.png", large))] * 4, prompt="a")
    assert (reply.status_code, "25165824 bytes together" in reply.text) == (400, True), reply.text[:300]
    assert not pod.received


async def test_a_variation_has_no_words(world: World, pod: FakePod) -> None:
    reply = await send(world, "variations", [("image", ("a.png", PNG))], n="2", model="pixel")
    assert reply.status_code == 200, reply.text
    assert (pod.received[0].prompt, pod.received[0].image, pod.received[0].images) == ("", IN_BASE64, 2)


@pytest.mark.parametrize(
    ("path", "files", "said", "param"),
    [
        ("edits", [("mask", ("a.png", PNG))], {"prompt": "a"}, "image"),
        ("edits", [("image", ("a.png", PNG))], {}, "prompt"),
        ("edits", [("image", ("a.png", b"no picture"))], {"prompt": "a"}, "image"),
        ("edits", [("image[]", ("a.png", PNG))] * 5, {"prompt": "a"}, "image"),
        ("edits", [("image", ("a.png", PNG)), *[("mask", ("b.png", PNG))] * 2], {"prompt": "a"}, "mask"),
        ("variations", [("image[]", ("a.png", PNG)), ("image[]", ("b.png", PNG))], {}, "image"),
        ("edits", [("image", ("a.png", PNG)), ("mask", ("b.gif", b"GIF89a"))], {"prompt": "a"}, "mask"),
        ("edits", [("image", ("a.png", PNG)), ("other", ("b.png", PNG))], {"prompt": "a"}, "other"),
        ("edits", [("image", ("a.png", PNG))], {"prompt": "a", "n": "many"}, "n"),
        ("edits", [("image", ("a.png", PNG))], {"prompt": "a", "loras": "[{"}, "loras"),
        ("edits", [("image", ("a.png", PNG))], {"prompt": ["a", "b"]}, "prompt"),
        ("variations", [("image", ("a.png", PNG)), ("mask", ("b.png", PNG))], {}, "mask"),
    ],
)
async def test_what_is_wrong_with_a_form_is_named(
    world: World, pod: FakePod, path: str, files: Any, said: dict[str, Any], param: str
) -> None:
    reply = await send(world, path, files, **said)
    error = reply.json()["error"]
    assert (reply.status_code, error["type"]) == (400, "invalid_request_error")
    assert param in error["message"] or error["param"] == param
    assert not pod.received


def part(name: str, text: str, more: str = "") -> str:
    return f'--b\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n{text}\r\n'


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("", "breaks off"),
        (part("prompt", "a"), "breaks off"),
        ("no boundary", "cannot be read"),
        (part("", "a") + "--b--\r\n", "no name"),
        (part("x" * 200, "a") + "--b--\r\n", "too long"),
        ("--b\r\nContent-Type: text/plain\r\n\r\na\r\n--b--\r\n", "no name"),
        (part("prompt", "a" * 70_000) + "--b--\r\n", "more than"),
        (part("p", "a") * (MAX_PARTS + 1) + "--b--\r\n", "at most"),
        ("--b\r\n" + "X: y\r\n" * 1000 + "\r\na\r\n--b--\r\n", "cannot be read"),
    ],
)
def test_a_form_is_bounded_and_whole(body: str, says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        read_form(body.encode(), TYPE)


@given(st.binary(max_size=300), st.text(st.characters(max_codepoint=255), max_size=30))
@settings(max_examples=200, deadline=None)
def test_whatever_comes_is_a_form_or_refused(body: bytes, boundary: str) -> None:
    for content_type in (TYPE, f"multipart/form-data; boundary={boundary}"):
        for whole in (body, b"--b\r\n" + body + b"\r\n--b--\r\n"):
            with contextlib.suppress(BadRequest):
                form = read_form(whole, content_type)
                form.fields()
                assert len(form.texts) + len(form.files) <= MAX_PARTS
