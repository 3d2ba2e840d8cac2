"""The stream of a watch: one JSON object a line."""

from collections.abc import AsyncIterable, AsyncIterator
from typing import Final

from lorapool_common.kube.errors import ApiError
from lorapool_common.kube.replies import parse_object, status_error
from lorapool_common.kube.resources import Manifest

# (ADDED | MODIFIED | DELETED, object)
WatchEvent = tuple[str, Manifest]

# Far more than etcd takes for an object.
MAX_LINE_BYTES: Final = 32 * 1024 * 1024


async def watch_events(chunks: AsyncIterable[bytes], max_line_bytes: int = MAX_LINE_BYTES) -> AsyncIterator[WatchEvent]:
    """What has changed, without bookmarks.

    Raises:
        ApiError: the API server ends the watch with an error, a line is no event or has more bytes than it may.
    """
    async for line in _lines(chunks, max_line_bytes):
        event = parse_object(line)
        change, manifest = event.get("type"), event.get("object")
        if not isinstance(change, str) or not isinstance(manifest, dict):
            raise ApiError(0, "Malformed", "a line of the watch is no change of an object")
        if change == "ERROR":
            raise status_error(manifest)
        if change != "BOOKMARK":
            yield change, manifest


async def _lines(chunks: AsyncIterable[bytes], max_bytes: int) -> AsyncIterator[bytes]:
    """Whole lines without their ends, longer than the transport's buffer too; what follows the last end is no line."""
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
