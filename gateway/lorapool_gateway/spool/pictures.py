"""Pictures of a request that lie in a file: a short text stands for each, where its base64 would be."""

import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from lorapool_api.wire.request import GenerateRequest
from lorapool_gateway.errors import BadRequest
from lorapool_gateway.routing.request import ImageRequest
from lorapool_gateway.spool.disk import SpoolFile

# A shorter picture stays in memory.
LARGE_CHARACTERS: Final = 4096
# No base64 has such a beginning, and nobody knows the random part.
_MARK: Final = "@spool:"
_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_MARKED: Final = re.compile(rb'"(@spool:[0-9a-f]{32})"')

Asked = TypeVar("Asked", bound=ImageRequest)


@dataclass(frozen=True)
class Segment:
    """A part of a file."""

    file: SpoolFile
    start: int
    size_bytes: int


class StoredPictures:
    """The pictures of all requests that have no answer yet, by what stands for them."""

    def __init__(self) -> None:
        self._segments: dict[str, Segment] = {}

    @contextmanager
    def of_request(self) -> Iterator["RequestPictures"]:
        """Those of one request, forgotten at its end."""
        made: dict[str, Segment] = {}
        try:
            yield RequestPictures(self._segments, made)
        finally:
            for mark in made:
                del self._segments[mark]

    def parts(self, text: bytes) -> Iterator[bytes | Segment]:
        """A request in JSON with its pictures in their places."""
        position = 0
        for found in _MARKED.finditer(text):
            segment = self._segments.get(found[1].decode())
            if segment is not None:
                yield text[position : found.start() + 1]
                yield segment
                position = found.end() - 1
        yield text[position:]


class RequestPictures:
    """Where the pictures of one request are."""

    def __init__(self, all_segments: dict[str, Segment], made: dict[str, Segment]) -> None:
        self._all = all_segments
        self._made = made

    def add(self, segments: dict[str, Segment]) -> None:
        """Know these, until the request has its answer."""
        self._made |= segments
        self._all |= segments


def stored(asked: Asked, file: SpoolFile) -> tuple[Asked, dict[str, Segment]]:
    """The request with its large pictures in the file, and where they are. Raises: BadRequest, Busy."""
    made: dict[str, Segment] = {}

    def to_file(text: str) -> str:
        if len(text) < LARGE_CHARACTERS:
            return text
        data = text.encode()
        # It goes into JSON as it is.
        if len(data) % 4 or data.translate(None, _ALPHABET):
            raise BadRequest("an image of the request is not in base64")
        mark = f"{_MARK}{secrets.token_hex(16)}"
        made[mark] = Segment(file, file.append(data), len(data))
        return mark

    return _with_pictures(asked, to_file), made


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
