"""Clients that close their connection while their request is worked on."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from lorapool_common.http.server import Receive

Result = TypeVar("Result")


class ClientGone(Exception):
    """Nobody waits for the answer any more."""


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, Result]) -> Result:
    """The result of the work, which is cancelled when the client goes first.

    Args:
        receive: of the request, whose body has been read: nothing but the end of its connection can come.

    Raises:
        ClientGone: the client went first.
    """
    task = asyncio.create_task(work)
    gone = asyncio.create_task(_disconnected(receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientGone
    finally:
        for started in (task, gone):
            started.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
