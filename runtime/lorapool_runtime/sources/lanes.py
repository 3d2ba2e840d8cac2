"""How many downloads at once: those that hang leave room for all others."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

# Threads; most of them wait for the network.
DOWNLOADS: Final = 48
# From one owner of repositories, or one host: so many that begin, and so many that have taken long already.
_BEGIN: Final = 4
_SLOW: Final = 8
# A download that takes longer makes room for the next one and goes on beside it.
_BEGIN_S: Final = 5.0

T = TypeVar("T")


class Lanes:
    """Bounds the downloads of each owner. Lives on the event loop.

    Downloads from one place begin four at a time. One that is not done after five seconds, because it is large or
    because it hangs, changes to the slow lane, if that has room, and the next one begins.
    """

    def __init__(self, begin_s: float = _BEGIN_S) -> None:
        self._begin_s = begin_s
        self._beginning: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(_BEGIN))
        self._slow: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(_SLOW))

    async def run(self, place: str, work: Callable[[], Awaitable[T]]) -> T:
        """What the work gives, when there is room for it at that place. Raises: what it raises."""
        async with self._beginning[place]:
            task = asyncio.ensure_future(work())
            try:
                await asyncio.wait((task,), timeout=self._begin_s)
                if not task.done():
                    await self._changed(place, task)
            except asyncio.CancelledError:
                task.cancel()
                raise
            if task.done():
                return await task
        try:
            return await task
        finally:
            self._slow[place].release()

    async def _changed(self, place: str, task: "asyncio.Future[T]") -> None:
        """Take a place in the slow lane, unless the work ends before there is one."""
        changing = asyncio.ensure_future(self._slow[place].acquire())
        is_kept = False
        try:
            await asyncio.wait((task, changing), return_when=asyncio.FIRST_COMPLETED)
            is_kept = changing.done() and not task.done()
        finally:
            if not changing.done():
                changing.cancel()
            elif not is_kept:
                self._slow[place].release()
