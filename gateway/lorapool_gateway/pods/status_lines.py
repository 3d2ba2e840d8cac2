"""A pod's status as it changes, from the lines in which it comes: see `lorapool_api.wire.gateways.stream`."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from typing import Final

from lorapool_api.wire.gateways.stream import REST_S
from lorapool_api.wire.state import ServingStatus

# Of a line. One adapter takes some 50 bytes, and a slice has a thousand; a pod of an earlier version sends all in one.
LINE_MAX_BYTES: Final = 4 << 20


class InvalidLines(Exception):
    """A line is too long, or is no status."""


async def statuses(
    chunks: AsyncIterable[bytes], known: ServingStatus | None, rest_s: float = REST_S
) -> AsyncIterator[ServingStatus | None]:
    """All that the pod says, each time that it changes; None: it says that nothing has.

    Args:
        chunks: lines of JSON; what follows the last line end is one too.
        known: what the first one is a change of, if it is no complete one.

    Raises:
        InvalidLines
    """
    buffer = b""
    async for chunk in chunks:
        *lines, buffer = (buffer + chunk).split(b"\n")
        if len(buffer) > LINE_MAX_BYTES:
            raise InvalidLines(f"a line of a status has more than {LINE_MAX_BYTES} bytes")
        news = [line for line in lines if line]
        if lines and not news:
            yield None
        for line in news:
            known = _after(line, known)
            if not known.more:
                yield known
        await asyncio.sleep(rest_s)
    if buffer:
        yield _after(buffer, known)


def _after(line: bytes, known: ServingStatus | None) -> ServingStatus:
    try:
        return ServingStatus.model_validate_json(line).after(known)
    except ValueError as error:  # a ValidationError is one
        raise InvalidLines(str(error)) from error
