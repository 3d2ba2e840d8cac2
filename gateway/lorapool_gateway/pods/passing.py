"""An image that its pod is still sending, on its way to a client that takes it as it is."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Final, Protocol

from lorapool_api.wire import bundle
from lorapool_api.wire.reply import GenerateReply
from lorapool_gateway.pods.errors import ConnectionLost, InvalidReply
from lorapool_gateway.pods.exchange.answer import HttpAnswer
from lorapool_gateway.pods.images import Image

# A smaller image comes in one piece or two, and until it is whole another pod may still make it.
PASSED_BYTES: Final = 256 << 10
# A pod has encoded an image before it sends the first byte of it.
STALL_S: Final = 30.0


class Content(Protocol):
    """The body of an answer, as aiohttp reads it."""

    async def readany(self) -> bytes: ...

    async def readexactly(self, n: int) -> bytes: ...


async def chunks_of(content: Content) -> AsyncIterator[bytes]:
    """A body as it comes. Raises: what `content` does; a connection that has ended is an OSError, whenever it did."""
    while chunk := await _unless_ended(content.readany()):
        yield chunk


async def exactly(content: Content, size_bytes: int) -> bytes:
    """So many bytes of it. Raises: as `chunks_of`; asyncio.IncompleteReadError."""
    return await _unless_ended(content.readexactly(size_bytes))


async def _unless_ended(reading: Awaitable[bytes]) -> bytes:
    try:
        return await reading
    except RuntimeError as error:
        # So aiohttp says that the connection has ended between two reads.
        raise ConnectionResetError(str(error)) from error


class ComingImage:
    """An image of a known size. It is read once, and then, or in place of that, closed: it holds a connection.

    Attributes:
        size_bytes: as the pod says; it never has more.
    """

    def __init__(self, answer: HttpAnswer, size_bytes: int, stall_s: float) -> None:
        """`stall_s`: how long the pod may send nothing."""
        self._answer = answer
        self._stall_s = stall_s
        self.size_bytes = size_bytes

    async def pieces(self) -> AsyncIterator[bytes]:
        """The image as it comes.

        Raises:
            ConnectionLost: it breaks off or stalls.
            InvalidReply: it is longer.
        """
        left, chunks = self.size_bytes, chunks_of(self._answer)
        while True:
            try:
                async with asyncio.timeout(self._stall_s):
                    piece = await anext(chunks, b"")
            except OSError as error:
                raise ConnectionLost(str(error)) from error
            if not piece:
                break
            left -= len(piece)
            if left < 0:
                raise InvalidReply("the image is longer than the pod said")
            yield piece
        if left:
            raise ConnectionLost("the image breaks off")

    def close(self) -> None:
        """Give the connection back where all of the image was read, else end it."""
        self._answer.release()


async def begun(
    answer: HttpAnswer, max_bytes: int, stall_s: float
) -> tuple[GenerateReply, tuple[Image, ...] | ComingImage]:
    """The head of a bundle, and its images: one that is large comes, others are waited for.

    Args:
        max_bytes: of all images.

    Raises:
        asyncio.IncompleteReadError, ValueError: it is none.
    """
    length = bundle.head_bytes(await exactly(answer, bundle.LENGTH_BYTES))
    head = bundle.read_head(await exactly(answer, length))
    total = sum(head.sizes)
    if not head.sizes or total > max_bytes:
        raise ValueError(f"the images have {total} bytes" if head.sizes else "there is no image")
    if len(head.sizes) == 1 and total > PASSED_BYTES:
        return head.reply, ComingImage(answer, total, stall_s)
    body, images, start = memoryview(await exactly(answer, total)), [], 0
    if await anext(chunks_of(answer), b""):
        raise ValueError("the images are longer than the pod said")
    for size in head.sizes:
        images.append(Image(body[start : start + size], is_base64=False))
        start += size
    return head.reply, tuple(images)
