"""Answers of servers that are not trusted, read without ever holding more than a limit."""

from collections.abc import AsyncIterable


class TooLarge(Exception):
    """The answer has more bytes than it may. The rest is not read: its connection cannot be kept."""


async def read_at_most(chunks: AsyncIterable[bytes], max_bytes: int) -> bytes:
    """The whole body. Whoever asks for it must not have it decompressed: a limit counts what comes over the network.

    Raises:
        TooLarge: there are more than `max_bytes`.
    """
    parts, size = [], 0
    async for chunk in chunks:
        size += len(chunk)
        if size > max_bytes:
            raise TooLarge(f"the answer is larger than {max_bytes} bytes")
        parts.append(chunk)
    return b"".join(parts)
