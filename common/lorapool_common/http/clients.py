"""Clients that close their connection while their request is worked on."""

import asyncio
from collections.abc import Callable, Coroutine
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
    return await unless(_disconnected(receive), work, ClientGone)


async def unless(end: Coroutine[Any, Any, object], work: Coroutine[Any, Any, Result], error: type[Exception]) -> Result:
    """The result of the work, which is cancelled when the end comes first. Raises: `error`, then."""
    task, ended = asyncio.create_task(work), asyncio.create_task(end)
    ended.add_done_callback(_cancelling(task))
    try:
        return await task
    except asyncio.CancelledError:
        current = asyncio.current_task()
        if ended.done() and current is not None and not current.cancelling():
            raise error from None
        raise
    finally:
        task.cancel()
        ended.cancel()
        # A task keeps its error, the error this frame, and this frame the task: none of them would go before the
        # garbage collector comes, with all that a request had in its frames.
        del task, ended


def _cancelling(task: asyncio.Task[Result]) -> Callable[[object], object]:
    return lambda _: task.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
