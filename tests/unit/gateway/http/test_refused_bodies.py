"""What a refused request leaves behind until the garbage collector comes, which a busy gateway seldom lets."""

import base64
import json
import tracemalloc
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from tests.unit.gateway.fakes import World, encoded_image

from lorapool_api.wire.reply import ErrorCode, ErrorReply
from lorapool_api.wire.request import ImageFormat

SIZE = 2 << 20
TIMES = 12
MOST_LEFT = 4
PIECE = 64 << 10
# A PNG with so much behind its end.
PICTURE = base64.b64encode(encoded_image(1, ImageFormat.PNG) + bytes(SIZE)).decode()
FORM = b'--b\r\ncontent-disposition: form-data; name="prompt"\r\n\r\n' + b"a" * SIZE + b"\r\n--b--\r\n"


def said(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


async def sent(body: bytes) -> AsyncIterator[bytes]:
    """In pieces, so that the client keeps nothing of it."""
    for begin in range(0, len(body), PIECE):
        yield body[begin : begin + PIECE]


REFUSED: dict[str, tuple[str, Callable[[], bytes], str, int]] = {
    "no JSON": ("/v1/images/generations", lambda: b" " * SIZE, "application/json", 400),
    "a long prompt": ("/v1/images/generations", lambda: said(prompt="a" * SIZE), "application/json", 400),
    "a long prompt to Hugging Face": ("/", lambda: said(inputs="a" * SIZE), "application/json", 400),
    "a long prompt to A1111": ("/sdapi/v1/txt2img", lambda: said(prompt="a" * SIZE), "application/json", 400),
    "a form": ("/v1/images/edits", lambda: FORM, "multipart/form-data; boundary=b", 400),
    "an unknown model": (
        "/v1/images/edits",
        lambda: said(prompt="a", image=PICTURE, model="nobody"),
        "application/json",
        404,
    ),
    "what a pod refuses": ("/v1/images/edits", lambda: said(prompt="a", image=PICTURE), "application/json", 400),
    "what a pod refuses to A1111": (
        "/sdapi/v1/img2img",
        lambda: said(prompt="a", init_images=[PICTURE]),
        "application/json",
        400,
    ),
    "what a pod refuses to Hugging Face": ("/", lambda: said(inputs="a", image=PICTURE), "application/json", 400),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_a_refused_body_goes_with_its_request(what: str, no_collection: None) -> None:
    path, body, content_type, status = REFUSED[what]
    world = World(max_body_bytes=8 << 20)
    world.pool()
    pod = world.pod()
    pod.troubles.extend([ErrorReply(code=ErrorCode.INVALID_REQUEST, message="no")] * TIMES)
    tracemalloc.start()
    try:
        async with world.client(**{"content-type": content_type}) as client:
            left = []
            for _ in range(TIMES):
                assert (await client.post(path, content=sent(body()))).status_code == status
                pod.received.clear()
                left.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    # The last one may stay in a thread until the next, with its picture in base64.
    grown = max(left) - left[0]
    assert grown < MOST_LEFT * SIZE, f"{grown / SIZE:.1f} bodies of {TIMES} are left"
