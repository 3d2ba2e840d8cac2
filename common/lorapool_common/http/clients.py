"""Clients that close their connection while their request is worked on."""

import asyncio
from collections.abc import Awaitable, Coroutine
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


async def unless(end: Coroutine[Any, Any, object], work: Awaitable[Result], error: type[Exception]) -> Result:
    """The result of the work, which is cancelled when the end comes first. Raises: `error`, then.

    The work is done in the task of its caller: one of its own would begin and be waited for a turn of the event loop
    later each.
    """
    current = asyncio.current_task()
    assert current is not None  # noqa: S101 -- this is a coroutine
    before, watch = current.cancelling(), _Watch(current)
    ended = asyncio.create_task(end)
    ended.add_done_callback(watch.end)
    try:
        return await work
    except asyncio.CancelledError:
        # As `asyncio.timeout` has it: who else has cancelled the task means all of it.
        if watch.stop() <= before and watch.has_ended:
            raise error from None
        raise
    finally:
        watch.stop()
        ended.cancel()
        # The task keeps its frames, and an error may keep this one: neither would go before the garbage collector
        # comes, with all that a request had in its frames.
        del ended, current, watch


class _Watch:
    """Cancels a task when something else ends first; that is taken back once, when the task is told why."""

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self._task: asyncio.Task[Any] | None = task
        self._cancelling = 0
        self.has_ended = False

    def end(self, _: object) -> None:
        """The end has come, and nobody has stopped this before."""
        if self._task is not None:
            self.has_ended = True
            self._task.cancel()

    def stop(self) -> int:
        """Cancel nothing any more; how often the task is cancelled by others."""
        task, self._task = self._task, None
        if task is not None:
            self._cancelling = task.uncancel() if self.has_ended else task.cancelling()
        return self._cancelling


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
