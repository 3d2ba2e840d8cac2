"""Encoded images on their way from a pod to a client, with no pass over them that holds the event loop."""

import asyncio
import binascii
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

# Multiples of 3 and of 4: a piece of either encoding is a whole number of groups. A piece takes about a millisecond,
# and others have their turn after each: in a thread the same work would hold the interpreter just as long.
_RAW_PIECE: Final = 3 << 16
_BASE64_PIECE: Final = 4 << 16
_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_DATA: Final = b'"data":"'


@dataclass(frozen=True)
class Image:
    """An encoded image as a pod sent it: its bytes, or those in base64."""

    data: bytes | memoryview
    is_base64: bool

    @property
    def base64_bytes(self) -> int:
        """How long it is in base64."""
        return len(self.data) if self.is_base64 else 4 * ((len(self.data) + 2) // 3)

    async def base64(self) -> AsyncIterator[bytes]:
        """It in base64, piece by piece."""
        async for piece in _pieces(self.data, _BASE64_PIECE if self.is_base64 else _RAW_PIECE):
            yield bytes(piece) if self.is_base64 else binascii.b2a_base64(piece, newline=False)

    async def raw(self) -> bytes:
        """Its bytes. Raises: ValueError where its base64 is none."""
        if not self.is_base64:
            return bytes(self.data)
        return b"".join([binascii.a2b_base64(piece, strict_mode=True) async for piece in _pieces(self.data)])

    async def as_sent(self) -> bytes | memoryview:
        """Its bytes, without a copy where it came as they are. Raises: ValueError where its base64 is none."""
        return await self.raw() if self.is_base64 else self.data

    async def is_whole(self) -> bool:
        """Whether its base64 has nothing in it that base64 has not, so that it can stand in JSON as it is."""
        if not self.is_base64:
            return True
        if len(self.data) % 4:
            return False
        async for piece in _pieces(self.data):
            if bytes(piece).translate(None, _ALPHABET):
                return False
        return True


def lift(body: bytes | bytearray) -> tuple[bytes, tuple[memoryview, ...]]:
    """A pod's JSON without its images, and the images in base64 (views, no copies).

    A parser would look at each character of them. Within a text of JSON a quotation mark is escaped, so the mark is
    only ever found where a field `data` begins, and the next one ends it.
    """
    view, rest, found = memoryview(body), [], []
    position = 0
    while (at := body.find(_DATA, position)) >= 0:
        start = at + len(_DATA)
        end = body.find(b'"', start)
        if end < 0:
            break
        rest.append(view[position:start])
        found.append(view[start:end])
        position = end
    rest.append(view[position:])
    return b"".join(rest), tuple(found)


async def _pieces(data: bytes | memoryview, size: int = _BASE64_PIECE) -> AsyncIterator[memoryview]:
    view = memoryview(data)
    for start in range(0, len(view), size):
        yield view[start : start + size]
        if start + size < len(view):
            await asyncio.sleep(0)
