"""That something has changed: a number that grows by each change, and waiting for the next one."""

import asyncio
from contextlib import suppress


class Changes:
    """Lives on the event loop. Read `version`, look at what it is about, wait `beyond` it: then no change is missed."""

    def __init__(self) -> None:
        self._version = 0
        self._closed = False
        self._next = asyncio.Event()

    @property
    def version(self) -> int:
        """How many changes there were."""
        return self._version

    @property
    def is_closed(self) -> bool:
        """Whether there will be no more changes that matter."""
        return self._closed

    def note(self) -> int:
        """The version of the change that the caller makes; everybody who waits is woken."""
        self._version += 1
        self._next.set()
        self._next = asyncio.Event()
        return self._version

    async def beyond(self, version: int, timeout_s: float | None = None) -> None:
        """Return as soon as there is a later version or there will be none, at the latest after the timeout."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._version <= version and not self._closed:
                    await self._next.wait()

    def close(self) -> None:
        """There will be no more changes that matter: nobody waits any longer."""
        self._closed = True
        self._next.set()
