"""The version of a pod's state, and waiting for the next one."""

import asyncio


class Versions:
    """A number that grows by each change. Lives on the event loop."""

    def __init__(self) -> None:
        self._current = 0
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
        """Return as soon as the version exceeds this one, at the latest after the timeout."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._current <= version:
                    await self._changed.wait()
        except TimeoutError:
            return
