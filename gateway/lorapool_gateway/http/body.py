"""A request's body, bounded in bytes and in time."""

import asyncio
from typing import Final

from fastapi import Request

from lorapool_common.http.clients import ClientGone
from lorapool_gateway.errors import BodyTooLarge
from lorapool_gateway.spool.body import SpooledBody

# A client that is still sending does not read the answer; so much of a body is thrown away before it gets one.
DISCARD_BYTES: Final = 64 << 20
STALL_S: Final = 30.0


async def read_body(request: Request, limit_bytes: int, body: SpooledBody) -> None:
    """Take in the whole body, never more of it than the limit.

    Raises:
        BodyTooLarge: it goes on beyond the limit.
        Busy: others hold as much as the gateway has room for.
        ClientGone: the body breaks off or stalls.
    """
    size, announced = 0, request.headers.get("content-length", "")
    if announced.isdecimal():
        body.announce(int(announced))
    more = True
    while more and size <= max(limit_bytes, DISCARD_BYTES):
        chunk, more = await _chunk(request)
        size += len(chunk)
        if size <= limit_bytes:
            await body.add(chunk)
        else:
            body.clear()
    if size > limit_bytes:
        raise BodyTooLarge(limit_bytes)


async def _chunk(request: Request) -> tuple[bytes, bool]:
    """What comes next of the body, and whether more does. Raises: ClientGone, when it breaks off or stalls."""
    try:
        async with asyncio.timeout(STALL_S):
            message = await request.receive()
    except TimeoutError:
        raise ClientGone from None
    if message["type"] == "http.disconnect":
        raise ClientGone
    return message.get("body", b""), message.get("more_body", False)
