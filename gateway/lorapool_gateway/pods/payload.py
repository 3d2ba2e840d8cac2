"""A request's body on its way to a pod: text, and pictures that may lie in files."""

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Final

from lorapool_api.wire.request import GenerateRequest
from lorapool_gateway.pods.images import Image
from lorapool_gateway.spool.pictures import Segment, StoredPictures

_SENT_AT_ONCE: Final = 1 << 20
_PIECE_BYTES: Final = 256 << 10
_PICTURES: Final = ("image", "mask")


@dataclass(frozen=True)
class Payload:
    """A body that can be sent several times.

    Attributes:
        parts: one after the other; a single one where nothing of it lies in a file.
    """

    parts: tuple[bytes | Segment, ...] = (b"",)

    @property
    def size_bytes(self) -> int:
        return sum(part.size_bytes if isinstance(part, Segment) else len(part) for part in self.parts)

    @property
    def is_in_memory(self) -> bool:
        return len(self.parts) == 1

    def data(self) -> bytes | io.BytesIO | AsyncIterator[bytes] | None:
        """What aiohttp sends; a large one, of pictures, piece by piece, as the pod takes it."""
        (first, *others) = self.parts
        if others or isinstance(first, Segment):
            return self._sent()
        return None if not first else first if len(first) < _SENT_AT_ONCE else io.BytesIO(first)

    async def sha256(self) -> str:
        """In hexadecimal digits."""
        if self.size_bytes < _SENT_AT_ONCE and self.is_in_memory:
            return self._sha256()
        return await asyncio.to_thread(self._sha256)

    def _sha256(self) -> str:
        digest = hashlib.sha256()
        for part in self.parts:
            for piece in _pieces_of(part):
                digest.update(piece)
        return digest.hexdigest()

    async def _sent(self) -> AsyncIterator[bytes]:
        for part in self.parts:
            pieces = _pieces_of(part)
            while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
                yield piece


def _pieces_of(part: bytes | Segment) -> Iterator[bytes]:
    if isinstance(part, bytes):
        yield part
        return
    for done in range(0, part.size_bytes, _PIECE_BYTES):
        yield part.file.read(part.start + done, min(_PIECE_BYTES, part.size_bytes - done))


async def payload(request: GenerateRequest, stored: StoredPictures) -> Payload:
    """The request in JSON. An encoder would look for what to escape in each character of its pictures, in one go."""
    sent = {name: text.encode() for name in _PICTURES if (text := getattr(request, name)) is not None}
    # In base64 there is nothing to escape; what is not base64 is left to the encoder.
    pictures = {name: data for name, data in sent.items() if await Image(data, is_base64=True).is_whole()}
    rest = request.model_copy(update=dict.fromkeys(pictures)).model_dump_json(exclude_none=True).encode()
    found = tuple(part for part in stored.parts(rest[:-1]) if part)
    fields = [part for name, data in pictures.items() for part in (f',"{name}":"'.encode(), data, b'"')]
    last = b"".join([*fields, b"}"])
    if len(found) == 1 and isinstance(found[0], bytes):
        return Payload((found[0] + last,))
    return Payload((*found, last))
