"""Lines of a stream of bytes."""

from collections.abc import AsyncIterable, AsyncIterator
from typing import Final

from lorapool_common.kube.errors import ApiError

# Far more than etcd takes for an object.
MAX_LINE_BYTES: Final = 32 * 1024 * 1024


async def lines(chunks: AsyncIterable[bytes], max_bytes: int = MAX_LINE_BYTES) -> AsyncIterator[bytes]:
    """Whole lines without their ends, longer than the transport's buffer too; what follows the last end is no line.

    Raises: ApiError, where a line has more bytes than it may.
    """
    rest: list[bytes] = []
    size = 0
    async for chunk in chunks:
        *ends, last = chunk.split(b"\n")
        for end in ends:
            line = b"".join([*rest, end])
            rest, size = [], 0
            if line:
                yield line
        rest.append(last)
        size += len(last)
        if size > max_bytes:
            raise ApiError(0, "TooLarge", f"the watch sent a line of more than {max_bytes} bytes")
