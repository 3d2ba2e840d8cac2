"""A reply and its images as they are, one after the other: between pod and gateway nothing needs to be in base64.

Four bytes, big-endian: the length of a JSON object; that object (`Head`); then the images.
"""

from typing import Final

from pydantic import Field

from lorapool_api.wire.message import Wire
from lorapool_api.wire.reply import GenerateReply

MEDIA_TYPE: Final = "application/vnd.lorapool.images"
LENGTH_BYTES: Final = 4
_MAX_HEAD_BYTES: Final = 1 << 20


class Head(Wire):
    """What comes before the images."""

    reply: GenerateReply = Field(description="Its images have no data.")
    sizes: tuple[int, ...] = Field(description="Bytes of each image.")


def head(reply: GenerateReply, images: tuple[bytes, ...]) -> bytes:
    """What goes before the images."""
    bare = tuple(image.model_copy(update={"data": ""}) for image in reply.images)
    sizes = tuple(len(image) for image in images)
    text = Head(reply=reply.model_copy(update={"images": bare}), sizes=sizes).model_dump_json().encode()
    return len(text).to_bytes(LENGTH_BYTES, "big") + text


def head_bytes(first: bytes | memoryview) -> int:
    """How long the JSON is, by the first `LENGTH_BYTES` of a bundle. Raises: ValueError."""
    length = int.from_bytes(first, "big")
    if length > _MAX_HEAD_BYTES:
        raise ValueError("the head is longer than it may be")
    return length


def read_head(text: bytes | memoryview) -> Head:
    """The JSON before the images. Raises: ValueError."""
    found = Head.model_validate_json(bytes(text))
    if len(found.sizes) != len(found.reply.images) or min(found.sizes, default=0) < 0:
        raise ValueError("the sizes are not those of the images")
    return found


def split(body: bytes | bytearray) -> tuple[GenerateReply, tuple[memoryview, ...]]:
    """The reply, and views of its images.

    Raises:
        ValueError: it is no bundle.
    """
    view = memoryview(body)
    start = LENGTH_BYTES + head_bytes(view[:LENGTH_BYTES])
    if start > len(view):
        raise ValueError("the head is longer than it may be")
    found = read_head(view[LENGTH_BYTES:start])
    if start + sum(found.sizes) != len(view):
        raise ValueError("the sizes are not those of the images")
    images: list[memoryview] = []
    for size in found.sizes:
        images.append(view[start : start + size])
        start += size
    return found.reply, tuple(images)
