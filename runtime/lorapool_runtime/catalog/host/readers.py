"""Reading files to host memory: a few at once, those that a request waits for before all others."""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from lorapool_runtime.adapters.file import AdapterFile, HostAdapter

# Requests wait for it, and each takes as much memory as its adapter.
THREADS: Final = 2


class Ticket:
    """A read in the line. Until it begins it can be made urgent."""

    def __init__(self, *, is_urgent: bool) -> None:
        self.is_urgent = is_urgent
        self.turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Readers:
    """A few threads behind a queue with two priorities. Lives on the event loop; `read` is called on threads."""

    def __init__(self, read: Callable[[AdapterFile], HostAdapter], threads: int = THREADS) -> None:
        self._read = read
        self._threads = ThreadPoolExecutor(threads, "read")
        self._free = threads
        self._urgent: deque[Ticket] = deque()
        self._patient: deque[Ticket] = deque()

    async def read(self, file: AdapterFile, ticket: Ticket) -> HostAdapter:
        """The adapter from its file, when it is its turn. Raises: what `read` does."""
        (self._urgent if ticket.is_urgent else self._patient).append(ticket)
        self._call()
        try:
            await ticket.turn
        except asyncio.CancelledError:
            if ticket.turn.done() and not ticket.turn.cancelled():
                self._leave()
            raise
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._read, file)
        finally:
            self._leave()

    def hurry(self, ticket: Ticket) -> None:
        """A request waits for it now."""
        if not ticket.is_urgent:
            ticket.is_urgent = True
            self._urgent.append(ticket)
            self._call()

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _leave(self) -> None:
        self._free += 1
        self._call()

    def _call(self) -> None:
        while self._free and (ticket := self._next()) is not None:
            self._free -= 1
            ticket.turn.set_result(None)

    def _next(self) -> Ticket | None:
        """A ticket that was made urgent is in both lines: the first to come upon it takes it."""
        for line in (self._urgent, self._patient):
            while line:
                ticket = line.popleft()
                if not ticket.turn.done():
                    return ticket
        return None
