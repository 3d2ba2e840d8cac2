"""Pictures of a request as they are, in files or in memory: a short text stands for each, where its base64 would be."""

import binascii
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Self, TypeVar

from lorapool_api.wire.request import GenerateRequest
from lorapool_gateway.errors import BadRequest
from lorapool_gateway.routing.request import ImageRequest
from lorapool_gateway.spool.disk import SpoolFile

# A shorter picture stays where it is.
LARGE_CHARACTERS: Final = 4096
# No base64 has such a beginning, and nobody knows the random part.
_MARK: Final = "@spool:"
_MARKED: Final = re.compile(rb'"(@spool:[0-9a-f]{32})"')
# Whole groups of base64.
_PIECE_CHARACTERS: Final = 4 << 16

Asked = TypeVar("Asked", bound=ImageRequest)


@dataclass(frozen=True)
class Segment:
    """A part of a file."""

    file: SpoolFile
    start: int
    size_bytes: int


Picture = bytes | Segment
Keep = Callable[[Iterator[bytes]], Picture]


class StoredPicture(str):
    """What stands for a picture that is kept as it is. Only who keeps one makes it: no text of a client is one."""

    __slots__ = ()


class PictureBody(bytes):
    """The beginning of a body that is a picture, which is kept.

    Attributes:
        stored: what stands for it.
    """

    stored: StoredPicture

    def __new__(cls, head: bytes, stored: StoredPicture) -> Self:
        made = super().__new__(cls, head)
        made.stored = stored
        return made


class StoredPictures:
    """The pictures of all requests that have no answer yet, by what stands for them."""

    def __init__(self) -> None:
        self._pictures: dict[str, Picture] = {}

    def of_request(self) -> "RequestPictures":
        """Those of one request, forgotten when they are closed."""
        return RequestPictures(self._pictures)

    def parts(self, text: bytes) -> Iterator[tuple[bytes, Picture | None]]:
        """A request in JSON in parts: text, and the picture behind it, whose place is between its quotation marks;
        None: behind the last."""
        position = 0
        for found in _MARKED.finditer(text):
            picture = self._pictures.get(found[1].decode())
            if picture is not None:
                yield text[position : found.start() + 1], picture
                position = found.end() - 1
        yield text[position:], None


class RequestPictures:
    """The pictures of one request."""

    def __init__(self, all_pictures: dict[str, Picture]) -> None:
        self._all = all_pictures
        self._made: dict[str, Picture] = {}

    def close(self) -> None:
        """Forget them: the request has its answer."""
        for stands in self._made:
            del self._all[stands]

    def add(self, pictures: Mapping[str, Picture]) -> None:
        """Know these, until this is closed."""
        self._made.update(pictures)
        self._all.update(pictures)


def mark() -> StoredPicture:
    """What stands for a picture, and for no other."""
    return StoredPicture(f"{_MARK}{secrets.token_hex(16)}")


def in_memory(pieces: Iterator[bytes]) -> bytes:
    """Keeps a picture in memory."""
    return b"".join(pieces)


def in_file(file: SpoolFile) -> Keep:
    """Keeps pictures in a file, one after the other. Raises: Busy."""

    def keep(pieces: Iterator[bytes]) -> Segment:
        start = file.size_bytes
        for piece in pieces:
            file.append(piece)
        return Segment(file, start, file.size_bytes - start)

    return keep


def stored(asked: Asked, keep: Keep) -> tuple[Asked, dict[str, Picture]]:
    """The request with what stands for its large pictures, and these. Raises: BadRequest, and what `keep` does."""
    made: dict[str, Picture] = {}

    def kept(text: str) -> str:
        if len(text) < LARGE_CHARACTERS:
            return text
        stands = mark()
        try:
            made[stands] = keep(_decoded(text))
        except ValueError:
            raise BadRequest("an image of the request is not in base64") from None
        return stands

    return _with_pictures(asked, kept), made


def _decoded(text: str) -> Iterator[bytes]:
    """Its bytes. Raises: ValueError."""
    if 0 <= text.find("=") < len(text) - 2:
        raise ValueError("it goes on behind its end")
    for start in range(0, len(text), _PIECE_CHARACTERS):
        yield binascii.a2b_base64(text[start : start + _PIECE_CHARACTERS], strict_mode=True)


def without_pictures(asked: Asked) -> Asked:
    """What a request says beside its pictures, for who keeps it until the end."""
    return _with_pictures(asked, lambda _: "")


def _with_pictures(asked: Asked, change: Callable[[str], str]) -> Asked:
    def changed(text: str | None) -> str | None:
        return None if text is None else change(text)

    def changed_in(items: Any, name: str) -> Any:
        return tuple(item.model_copy(update={name: changed(getattr(item, name))}) for item in items)

    said: GenerateRequest = asked.generate
    update = {
        "image": changed(said.image),
        "mask": changed(said.mask),
        "images_beside": tuple(change(text) for text in said.images_beside),
        "controls": changed_in(said.controls, "image"),
        "adapters": changed_in(said.adapters, "mask"),
    }
    loras = tuple(replace(lora, mask=changed(lora.mask)) for lora in asked.loras)
    return replace(asked, generate=said.model_copy(update=update), loras=loras)
