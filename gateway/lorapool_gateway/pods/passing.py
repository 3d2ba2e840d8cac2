"""An image that its pod is still sending, on its way to a client that takes it as it is."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import aiohttp

from lorapool_api.wire import bundle
from lorapool_api.wire.reply import GenerateReply
from lorapool_gateway.pods.errors import ConnectionLost, InvalidReply
from lorapool_gateway.pods.images import Image

# A smaller image comes in one piece or two, and until it is whole another pod may still make it.
PASSED_BYTES: Final = 256 << 10
# A pod has encoded an image before it sends the first byte of it.
STALL_S: Final = 30.0


class ComingImage:
    """An image of a known size. It is read once, and then, or in place of that, closed: it holds a connection.

    Attributes:
        size_bytes: as the pod says; it never has more.
    """

    def __init__(self, answer: aiohttp.ClientResponse, size_bytes: int, stall_s: float) -> None:
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
        left = self.size_bytes
        while True:
            try:
                async with asyncio.timeout(self._stall_s):
                    piece = await self._answer.content.readany()
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
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
    answer: aiohttp.ClientResponse, max_bytes: int, stall_s: float
) -> tuple[GenerateReply, tuple[Image, ...] | ComingImage]:
    """The head of a bundle, and its images: one that is large comes, others are waited for.

    Args:
        max_bytes: of all images.

    Raises:
        asyncio.IncompleteReadError, ValueError: it is none.
    """
    length = bundle.head_bytes(await answer.content.readexactly(bundle.LENGTH_BYTES))
    head = bundle.read_head(await answer.content.readexactly(length))
    total = sum(head.sizes)
    if not head.sizes or total > max_bytes:
        raise ValueError(f"the images have {total} bytes" if head.sizes else "there is no image")
    if len(head.sizes) == 1 and total > PASSED_BYTES:
        return head.reply, ComingImage(answer, total, stall_s)
    body, images, start = memoryview(await answer.content.readexactly(total)), [], 0
    if await answer.content.readany():
        raise ValueError("the images are longer than the pod said")
    for size in head.sizes:
        images.append(Image(body[start : start + size], is_base64=False))
        start += size
    return head.reply, tuple(images)
