"""Files that this pod is to fetch for the whole pool come before copies of those that others fetch."""

import asyncio
from collections.abc import Callable
from typing import Final

# So long at most copies wait: a source that hangs holds nobody up for longer.
_LONGEST_S: Final = 30.0


def is_always_own(key: str) -> bool:
    """Where there are no other pods."""
    return True


class OwnFirst:
    """An adapter can be served as soon as one pod has its file: second copies are worth less than any first one.

    Lives on the event loop.
    """

    def __init__(self, is_own: Callable[[str], bool] = is_always_own, longest_s: float = _LONGEST_S) -> None:
        """Args:
        is_own: whether this pod is the one that fetches the adapter's file for all, by the adapter's key.
        """
        self._is_own = is_own
        self._longest_s = longest_s
        self._own: set[str] = set()
        self._waiting: dict[str, asyncio.Future[None]] = {}

    def begin(self, key: str) -> None:
        """It waits for its `turn` from now on; `fetched` is called for it whatever happens."""
        if self._is_own(key):
            self._own.add(key)
        else:
            self._waiting[key] = asyncio.get_running_loop().create_future()

    def fetched(self, key: str) -> None:
        """It has come, or does not come soon."""
        self._waiting.pop(key, None)
        if key not in self._own:
            return
        self._own.remove(key)
        if not self._own:
            for waiting in tuple(self._waiting):
                self.hurry(waiting)

    async def turn(self, key: str) -> None:
        """Return when none of this pod's own is left to fetch, somebody waits for this one, or the time is over."""
        future = self._waiting.get(key)
        if future is not None and self._own:
            await asyncio.wait((future,), timeout=self._longest_s)
        self._waiting.pop(key, None)

    def hurry(self, key: str) -> None:
        """Somebody waits for this one now."""
        future = self._waiting.pop(key, None)
        if future is not None and not future.done():
            future.set_result(None)
