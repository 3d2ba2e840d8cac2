"""A request's body on its way to a pod: text, and pictures as they are, from memory or from files."""

import asyncio
import binascii
import hashlib
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from typing import Final

from lorapool_api.wire.gateways import pictures
from lorapool_api.wire.request import GenerateRequest
from lorapool_gateway.spool.pictures import Picture, Segment, StoredPictures

JSON: Final = "application/json"
_SENT_AT_ONCE: Final = 256 << 10
# A multiple of 3: in base64 a piece is a whole number of groups. So much of each request is in memory while it is sent.
_PIECE_BYTES: Final = 3 << 15


@dataclass(frozen=True)
class InBase64:
    """A picture that is sent in base64."""

    picture: Picture


Part = bytes | Segment | InBase64


@dataclass(frozen=True)
class Payload:
    """A body that can be sent several times.

    Attributes:
        parts: one after the other.
        media_type: what they are together.
    """

    parts: tuple[Part, ...] = (b"",)
    media_type: str = JSON

    @property
    def size_bytes(self) -> int:
        return sum(map(_size_of, self.parts))

    def data(self) -> bytes | AsyncGenerator[bytes, None]:
        """What is sent; a large one, of pictures, piece by piece, as the pod takes it."""
        first = self.parts[0]
        if len(self.parts) == 1 and isinstance(first, bytes) and len(first) <= _SENT_AT_ONCE:
            return first  # as nearly all of them are
        return self._whole() if self.is_sent_at_once else self.sent()

    @property
    def is_sent_at_once(self) -> bool:
        """Whether it is small, and nothing of it has to be read."""
        return self.size_bytes <= _SENT_AT_ONCE and not any(isinstance(part, Segment) for part in self.parts)

    async def sha256(self) -> str:
        """In hexadecimal digits."""
        return self._sha256() if self.is_sent_at_once else await asyncio.to_thread(self._sha256)

    def _whole(self) -> bytes:
        return b"".join(piece for part in self.parts for piece in _pieces_of(part))

    def _sha256(self) -> str:
        digest = hashlib.sha256()
        for part in self.parts:
            for piece in _pieces_of(part):
                digest.update(piece)
        return digest.hexdigest()

    async def sent(self) -> AsyncGenerator[bytes, None]:
        """All of it, piece by piece."""
        for part in self.parts:
            pieces = _pieces_of(part)
            if isinstance(part, bytes):
                for piece in pieces:
                    yield piece
                continue
            while (read := await asyncio.to_thread(next, pieces, None)) is not None:
                yield read


def _size_of(part: Part) -> int:
    if isinstance(part, InBase64):
        return 4 * ((_size_of(part.picture) + 2) // 3)
    return part.size_bytes if isinstance(part, Segment) else len(part)


def _pieces_of(part: Part) -> Iterator[bytes]:
    if isinstance(part, InBase64):
        for piece in _pieces_of(part.picture):
            yield binascii.b2a_base64(piece, newline=False)
    elif isinstance(part, Segment):
        for done in range(0, part.size_bytes, _PIECE_BYTES):
            yield part.file.read(part.start + done, min(_PIECE_BYTES, part.size_bytes - done))
    elif len(part) <= _PIECE_BYTES:
        yield part
    else:
        for done in range(0, len(part), _PIECE_BYTES):
            yield part[done : done + _PIECE_BYTES]


def payload(request: GenerateRequest, stored: StoredPictures, *, reads_pictures: bool) -> Payload:
    """The request with its stored pictures: as they are beside it, or in base64 for a pod that reads no others."""
    text = request.model_dump_json(exclude_none=True).encode()
    found = tuple(stored.parts(text))
    if len(found) == 1:
        return Payload((text,))
    if not reads_pictures:
        parts = (part for before, picture in found for part in _in_base64(before, picture))
        return Payload(tuple(parts))
    beside = tuple(picture for _, picture in found if picture is not None)
    texts = [before + pictures.reference(number).encode() for number, (before, _) in enumerate(found[:-1])]
    head = pictures.head(b"".join([*texts, found[-1][0]]), tuple(map(_size_of, beside)))
    return Payload((head, *beside), pictures.MEDIA_TYPE)


def _in_base64(before: bytes, picture: Picture | None) -> tuple[Part, ...]:
    return (before,) if picture is None else (before, InBase64(picture))
