"""What comes from a client: its body, bounded, and the news that it has gone."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any, Final, TypeVar

from fastapi import Request

from lorapool_gateway.errors import BodyTooLarge
from lorapool_gateway.held import Share

# A client that is still sending does not read the answer; so much of a body is thrown away before it gets one.
DISCARD_BYTES: Final = 64 << 20
STALL_S: Final = 30.0

Result = TypeVar("Result")


class ClientGone(Exception):
    """Nobody waits for the answer any more."""


async def read_body(request: Request, limit_bytes: int, share: Share) -> bytes:
    """The whole body, never more of it than the limit.

    Raises:
        BodyTooLarge: it goes on beyond the limit.
        Busy: others hold as much as the gateway has memory for.
        ClientGone: the body breaks off or stalls.
    """
    chunks: list[bytes] = []
    size = 0
    async for chunk in _chunks(request):
        size += len(chunk)
        if size <= limit_bytes:
            share.grow(len(chunk))
            chunks.append(chunk)
            continue
        chunks.clear()
        if size > DISCARD_BYTES:
            break
    if size > limit_bytes:
        raise BodyTooLarge(limit_bytes)
    return b"".join(chunks)


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    """The body as it comes. Raises: ClientGone, when it breaks off or stalls."""
    more = True
    while more:
        try:
            async with asyncio.timeout(STALL_S):
                message = await request.receive()
        except TimeoutError:
            raise ClientGone from None
        if message["type"] == "http.disconnect":
            raise ClientGone
        yield message.get("body", b"")
        more = message.get("more_body", False)


async def unless_gone(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """The result of the work, which is cancelled when the client goes first. Raises: ClientGone."""
    task = asyncio.create_task(work)
    gone = asyncio.create_task(_wait_until_gone(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientGone
    finally:
        for started in (task, gone):
            started.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _wait_until_gone(request: Request) -> None:
    """Return when the connection has closed. The body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
