"""A reply in JSON with images in base64 in it, never one text with the rest."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from lorapool_gateway.pods.images import Image


@dataclass(frozen=True)
class JsonWithImages:
    """The reply, piece by piece: text as it is, images still to be put into base64."""

    parts: tuple[bytes | Image, ...]

    @property
    def size_bytes(self) -> int:
        return sum(part.base64_bytes if isinstance(part, Image) else len(part) for part in self.parts)

    async def pieces(self) -> AsyncIterator[bytes]:
        for part in self.parts:
            if isinstance(part, Image):
                async for piece in part.base64():
                    yield piece
            else:
                yield part
