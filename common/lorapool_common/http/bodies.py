"""Bodies of requests and of answers, read without ever holding more than a limit."""

from collections.abc import AsyncIterable


class TooLarge(Exception):
    """The body has more bytes than it may. The rest is not read: its connection cannot be kept."""


async def read_at_most(chunks: AsyncIterable[bytes], max_bytes: int) -> bytes:
    """The whole body. It must not have been decompressed before: the limit counts what comes over the network.

    Raises:
        TooLarge: there are more than `max_bytes`.
    """
    return bytes(await gathered(chunks, max_bytes))


async def gathered(chunks: AsyncIterable[bytes], max_bytes: int) -> bytearray:
    """The same, for who needs no copy that cannot change. Raises: TooLarge."""
    body = bytearray()  # no list: in very small pieces a body would take many times its size
    async for chunk in chunks:
        body += chunk
        if len(body) > max_bytes:
            raise TooLarge(f"the body is larger than {max_bytes} bytes")
    return body
