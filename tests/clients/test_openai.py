"""OpenAI's own clients, Python's and JavaScript's, unmodified."""

import base64
from typing import Any

import pytest
from tests.clients.conftest import ServedGateway
from tests.unit.gateway.fakes import PREVIEW, FakePod, encoded_image

from lorapool_api.wire.request import GenerateRequest, ImageFormat
from lorapool_api.wire.weighting.scale import Weighting

JAVASCRIPT = ("openai-4", "openai-5", "openai-6", "openai-7")
PYTHON = ("openai-1.30", "openai-1.109", "openai-2", "openai-3")
FOURTH = base64.b64encode(encoded_image(4, ImageFormat.PNG)).decode()


@pytest.mark.parametrize("client", PYTHON)
async def test_python_client_makes_edits_and_streams_pictures(client: str, gateway: ServedGateway) -> None:
    seen = await gateway.called_by_python("openai_images.py", client)
    assert seen["version"].startswith(client.partition("-")[2])
    check_pictures(seen, gateway.pod)
    check_errors(seen)
    if client != "openai-1.30":
        check_several(seen, gateway.pod)
        check_newer(seen)


@pytest.mark.parametrize("client", JAVASCRIPT)
async def test_javascript_client_makes_edits_and_streams_pictures(client: str, gateway: ServedGateway) -> None:
    seen = await gateway.called_by_node("openai_images.mjs", client)
    assert seen["version"].startswith(client.partition("-")[2])
    check_pictures(seen, gateway.pod)
    check_errors(seen)
    check_several(seen, gateway.pod)
    if client != "openai-4":
        check_newer(seen)


def check_pictures(seen: dict[str, Any], pod: FakePod) -> None:
    assert (seen["models"], seen["model"]) == (["shapes", "ink", "pixel"], "nerijs/pixel-art-xl")
    assert seen["generate"][0] == FOURTH
    assert (len(seen["generate"]), seen["as_url"]) == (2, FOURTH)
    assert seen["created"] > 0
    assert seen["raw"] == ["mine", "pod-a", 1]
    assert (seen["edit"], seen["edit_named"], seen["vary"]) == ([FOURTH], 2, 2)
    generated, as_url, raw, edited, named, varied = pod.received[:6]
    assert (generated.images, generated.width, generated.seed) == (2, 64, 4)
    assert [adapters_of(one) for one in (generated, as_url, raw)] == [[("pixel", 0.8)], [], [("pixel", None)]]
    assert [edited.image, edited.mask] == seen["sent"]
    assert (edited.prompt, edited.seed, adapters_of(edited)) == ("a hat", 4, [("pixel", 0.8)])
    assert (named.image, named.images, named.mask) == (seen["sent"][0], 2, None)
    assert (varied.image, varied.images, adapters_of(varied)) == (seen["sent"][0], 2, [("pixel", None)])


def check_several(seen: dict[str, Any], pod: FakePod) -> None:
    several = pod.received[6]
    assert ([several.image, *several.images_beside], seen["edit_several"]) == (seen["sent"], 1)


def check_newer(seen: dict[str, Any]) -> None:
    """What the first versions do not have."""
    assert seen["stream"] == [
        ["image_generation.partial_image", 0, PREVIEW],
        ["image_generation.partial_image", 1, PREVIEW],
        ["image_generation.completed", None, FOURTH],
    ]
    assert seen["stream_of_none"] == [["image_generation.completed", 0, "64x64"]]
    assert seen["stream_of_edit"] == ["image_edit.partial_image", "image_edit.completed"]


def check_errors(seen: dict[str, Any]) -> None:
    def error(name: str) -> tuple[str, int, str, str | None]:
        found = seen[name]
        assert found["request_id"], name
        return found["class"], found["status"], found["code"], found["param"]

    assert error("unknown") == ("NotFoundError", 404, "model_not_found", "model")
    assert "did you mean 'pixel'" in seen["unknown"]["message"]
    assert error("size") == ("BadRequestError", 400, "invalid_value", "size")
    assert error("broken") == ("UnprocessableEntityError", 422, "adapter_unavailable", "model")
    assert "keys of no layout" in seen["broken"]["message"]
    assert error("no_picture") == ("BadRequestError", 400, "invalid_value", "image")
    assert error("too_large")[1:3] == (413, "body_too_large")
    assert error("other_key") == ("AuthenticationError", 401, "invalid_api_key", None)
    assert error("unserved")[:3] == ("NotFoundError", 404, "unknown_url")


def adapters_of(request: GenerateRequest) -> list[tuple[str, float | Weighting | None]]:
    return [(use.key.partition("/")[2], use.scale) for use in request.adapters]
