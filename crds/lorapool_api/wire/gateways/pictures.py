"""A request and its pictures as they are, one after the other: between gateway and pod nothing needs to be in base64.

Four bytes, big-endian: the length of a JSON object; that object (`RequestHead`); then the pictures. In the request
`reference` stands for each. Pods that read it say so (`ServingStatus.reads_pictures`).
"""

import re
from collections.abc import Sequence
from typing import Final

from pydantic import Field

from lorapool_api.wire.message import Wire
from lorapool_api.wire.request import MAX_PICTURE_BYTES, GenerateRequest

MEDIA_TYPE: Final = "application/vnd.lorapool.request"
# One to begin with and three beside it, a mask, those of controls, and one of each adapter.
MAX_PICTURES: Final = 64
_LENGTH_BYTES: Final = 4
_MAX_HEAD_BYTES: Final = 1 << 20
_MAX_REFERENCE: Final = len("picture:00")
_REFERENCE: Final = re.compile(r"picture:(\d{1,2})")


class RequestHead(Wire):
    """What comes before the pictures."""

    request: GenerateRequest
    sizes: tuple[int, ...] = Field(description="Bytes of each picture.", max_length=MAX_PICTURES)


def reference(number: int) -> str:
    """What stands for the picture of that number, from 0, where base64 would be: it has no colon."""
    return f"picture:{number}"


def referred(text: str, pictures: Sequence[memoryview]) -> memoryview | None:
    """The picture that the text stands for; None: it stands for itself. Raises: ValueError, where there is none."""
    found = _REFERENCE.fullmatch(text) if len(text) <= _MAX_REFERENCE else None
    if found is None:
        return None
    if int(found[1]) >= len(pictures):
        raise ValueError("there is no such picture")
    return pictures[int(found[1])]


def head(request_json: bytes, sizes: Sequence[int]) -> bytes:
    """What goes before pictures of these sizes."""
    said = ",".join(map(str, sizes)).encode()
    text = b'{"sizes":[%s],"request":%s}' % (said, request_json)
    return len(text).to_bytes(_LENGTH_BYTES, "big") + text


def split(body: bytes) -> tuple[GenerateRequest, tuple[memoryview, ...]]:
    """The request, and views of its pictures.

    Raises:
        ValueError: it is no such request; a ValidationError, where its head is not.
    """
    view = memoryview(body)
    length = int.from_bytes(view[:_LENGTH_BYTES], "big")
    start = _LENGTH_BYTES + length
    if length > _MAX_HEAD_BYTES or start > len(view):
        raise ValueError("the head is longer than it may be")
    found = RequestHead.model_validate_json(bytes(view[_LENGTH_BYTES:start]))
    if min(found.sizes, default=0) < 0 or start + sum(found.sizes) != len(view):
        raise ValueError("the sizes are not those of the pictures")
    if max(found.sizes, default=0) > MAX_PICTURE_BYTES:
        raise ValueError(f"a picture has more than {MAX_PICTURE_BYTES} bytes")
    pictures: list[memoryview] = []
    for size in found.sizes:
        pictures.append(view[start : start + size])
        start += size
    return found.request, tuple(pictures)
