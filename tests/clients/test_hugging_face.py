"""Hugging Face's own clients, Python's and JavaScript's, unmodified."""

import base64
import io
from typing import Any

import pytest
from PIL import Image
from tests.clients.conftest import ServedGateway
from tests.unit.gateway.fakes import encoded_image

from lorapool_api.kinds.serving import SchedulerName
from lorapool_api.wire.request import GenerateRequest, ImageFormat
from lorapool_api.wire.weighting.scale import Weighting

PYTHON = (
    "huggingface-hub-0.24",
    "huggingface-hub-0.28",
    "huggingface-hub-0.34",
    "huggingface-hub-1",
    "huggingface-hub-2",
)
JAVASCRIPT = ("huggingface-inference-2", "huggingface-inference-3", "huggingface-inference-4")
FOURTH = encoded_image(4, ImageFormat.PNG)
PIXEL, INK = "default/pixel", "default/ink"


def adapters_of(request: GenerateRequest) -> list[tuple[str, float | Weighting | None]]:
    return [(use.key, use.scale) for use in request.adapters]


def shown(data: bytes) -> list[Any]:
    image = Image.open(io.BytesIO(data))
    pixel = image.getpixel((0, 0))
    assert isinstance(pixel, tuple)
    return [image.format, list(image.size), list(pixel)]


@pytest.mark.parametrize("client", PYTHON)
async def test_python_client_makes_pictures_of_words_and_of_pictures(client: str, gateway: ServedGateway) -> None:
    seen = await gateway.called_by_python("hugging_face.py", client)
    assert seen["version"].startswith(client.removeprefix("huggingface-hub-"))
    made = [seen[name] for name in ("text", "by_header", "by_path", "scheduler", "words")]
    assert made == [shown(FOURTH)] * len(made)
    text, by_header, by_path, *rest = gateway.pod.received
    check_text(text)
    assert [adapters_of(one) for one in (by_header, by_path)] == [[(PIXEL, 0.5), (INK, None)], [(PIXEL, None)]]
    if "base_url" in seen:
        assert (seen["base_url"], adapters_of(rest.pop(0))) == (shown(FOURTH), [])
    scheduled, raw, words, file, *rest = rest
    assert scheduled.scheduler is SchedulerName.DPMPP_2M_KARRAS
    assert (raw.prompt, raw.image) == ("", seen["sent"][0])
    assert (words.prompt, words.image, words.strength, words.seed) == ("a hat", seen["sent"][0], 0.5, 4)
    assert (file.image, file.mask, file.negative_prompt) == (*seen["sent"], "a dog")
    if "sized" in seen:
        sized = rest.pop(0)
        assert (sized.width, sized.height, sized.image) == (64, 32, seen["sent"][0])
    if "asynchronous" in seen:
        assert adapters_of(rest.pop(0)) == [(INK, None)]
    assert rest == []
    assert seen.get("health", True)
    check_errors(seen)
    assert "GIF; PNG, JPEG and WebP are read" in seen["no_picture"]["message"]


@pytest.mark.parametrize("client", JAVASCRIPT)
async def test_javascript_client_makes_pictures_of_words_and_of_pictures(client: str, gateway: ServedGateway) -> None:
    seen = await gateway.called_by_node("hugging_face.mjs", client)
    assert seen["version"].startswith(client.removeprefix("huggingface-inference-"))
    made = [seen[name] for name in ("text", "by_path", "words")]
    for media_type, data in (*made, *([seen["endpoint_url"]] if "endpoint_url" in seen else [])):
        assert base64.b64decode(data) == encoded_image(4, ImageFormat(media_type.removeprefix("image/")))
    text, by_path, words, *rest = gateway.pod.received
    check_text(text)
    assert (words.prompt, words.image, words.strength, words.seed) == ("a hat", seen["sent"][0], 0.5, 4)
    if "bytes" in seen:
        raw = rest.pop(0)
        assert (raw.prompt, raw.image) == ("", seen["sent"][0])
    masked, *rest = rest
    assert [adapters_of(one) for one in (by_path, words, masked, *rest)] == [[(PIXEL, None)]] * (3 + len(rest))
    assert (masked.image, masked.mask, masked.prompt) == (*seen["sent"], "a hat")
    assert seen.get("data_url", "data:image/").startswith("data:image/")
    check_errors(seen)


def check_text(text: GenerateRequest) -> None:
    assert (text.prompt, text.negative_prompt, text.width, text.height) == ("a cat", "a dog", 64, 64)
    assert (text.steps, text.guidance_scale, text.seed) == (5, 3.5, 4)
    assert adapters_of(text) == [(PIXEL, 0.3)]


def check_errors(seen: dict[str, Any]) -> None:
    assert "multiple of 8" in seen["size"]["message"]
    assert "did you mean 'pixel'" in seen["unknown"]["message"]
    assert "keys of no layout" in seen["broken"]["message"]
    assert "an API key is needed" in seen["other_key"]["message"]
    statuses = [seen[name]["status"] for name in ("size", "unknown", "broken", "other_key")]
    # The first versions in JavaScript say no status.
    assert statuses in ([400, 404, 422, 401], [None] * 4)
