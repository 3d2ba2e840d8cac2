"""Thousands of loads begin over many turns of the event loop."""

import asyncio
from collections import deque
from typing import Final

# The first step of a load takes some 100 us.
_AT_ONCE: Final = 8


class Pacing:
    """Thousands of tasks that begin at once: a few per turn of the event loop, first come, first served."""

    def __init__(self, at_once: int = _AT_ONCE) -> None:
        """`at_once`: so many go on in each turn of the loop."""
        self._at_once = at_once
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_called = False

    async def turn(self) -> None:
        """Return when it is the caller's turn."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._call()
        await future

    def _call(self) -> None:
        if self._waiting and not self._is_called:
            self._is_called = True
            asyncio.get_running_loop().call_soon(self._admit)

    def _admit(self) -> None:
        self._is_called = False
        admitted = 0
        while self._waiting and admitted < self._at_once:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(None)
                admitted += 1
        self._call()
