"""The version of a pod's state, and waiting for the next one."""

import asyncio


class Versions:
    """A number that grows by each change. Lives on the event loop."""

    def __init__(self) -> None:
        self._current = 0
        self._closed = False
        self._changed = asyncio.Event()

    @property
    def current(self) -> int:
        return self._current

    def bump(self) -> int:
        """The version of the change that the caller makes; everybody who waits is woken."""
        self._current += 1
        self._changed.set()
        self._changed = asyncio.Event()
        return self._current

    async def beyond(self, version: int, timeout_s: float) -> None:
        """Return as soon as the version exceeds this one or there will be no more, at the latest after the timeout."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._current <= version and not self._closed:
                    await self._changed.wait()
        except TimeoutError:
            return

    def close(self) -> None:
        """There will be no more changes that matter: nobody waits any longer."""
        self._closed = True
        self._changed.set()
