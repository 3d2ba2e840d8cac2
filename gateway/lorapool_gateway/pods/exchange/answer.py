"""A pod's answer as it comes: bounded in what waits to be read."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

# So much may wait before the connection is read no further. An image of the usual size comes without a pause.
WAITING_BYTES: Final = 512 << 10
# Pieces below it are put together: in very small ones a body would take many times its size.
_SMALL_BYTES: Final = 4 << 10


class AnswerSource(Protocol):
    """The connection that an answer comes by."""

    def pause(self) -> None:
        """Read no further."""

    def resume(self) -> None:
        """Read on."""

    def end(self) -> None:
        """Nobody reads the answer any more: keep the connection where all of it has come, else close it."""

    def abort(self) -> None:
        """Close the connection."""


class HttpAnswer:
    """Status, headers and body of an answer. Who has it releases it.

    Attributes:
        status: 0 until the head has come.
        length: of the body, where the pod has said it.
        is_whole: everything has come.
    """

    def __init__(self, source: AnswerSource) -> None:
        self.status = 0
        self.content_type = ""
        self.length: int | None = None
        self.is_whole = False
        self._source = source
        self._pieces: deque[bytes] = deque()
        # Of the first piece, so much has been read.
        self._read_bytes = 0
        self._waiting_bytes = self._wanted_bytes = 0
        self._is_paused = self._is_released = False
        self._error: OSError | None = None
        self._waiter: asyncio.Future[None] | None = None

    async def begun(self) -> None:
        """Wait for the head. Raises: OSError."""
        await self._until(lambda: self.status != 0)

    async def readany(self) -> bytes:
        """What has come of the body and was not read; empty at its end. Raises: OSError."""
        await self._until(lambda: self.is_whole or self._waiting_bytes > 0)
        return self._taken(self._waiting_bytes)

    async def readexactly(self, n: int) -> bytes:
        """So many bytes of the body. Raises: OSError; asyncio.IncompleteReadError, where it has fewer."""
        self._wanted_bytes = n
        self._go_on()
        await self._until(lambda: self.is_whole or self._waiting_bytes >= n)
        self._wanted_bytes = 0
        if self._waiting_bytes < n:
            raise asyncio.IncompleteReadError(self._taken(self._waiting_bytes), n)
        return self._taken(n)

    def release(self) -> None:
        """Nobody reads it any more. Once is enough: its connection may have another request by then."""
        if not self._is_released:
            self._is_released = True
            self._source.end()

    def close(self) -> None:
        """The same, of one whose connection is not to be used again."""
        if not self._is_released:
            self._is_released = True
            self._source.abort()

    # What follows is for the connection.

    def came(self, piece: bytes) -> None:
        """A part of the body has come."""
        if self._pieces and len(self._pieces[-1]) < _SMALL_BYTES:
            self._pieces[-1] += piece
        else:
            self._pieces.append(piece)
        self._waiting_bytes += len(piece)
        if self._waiting_bytes > max(WAITING_BYTES, self._wanted_bytes) and not self._is_paused:
            self._is_paused = True
            self._source.pause()

    def fail(self, error: OSError) -> None:
        """It breaks off."""
        if not self.is_whole:
            self._error = error
            self.wake()

    def wake(self) -> None:
        """Have who waits look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _until(self, is_true: Callable[[], bool]) -> None:
        while self._error is None and not is_true():
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if self._error is not None:
            raise self._error

    def _taken(self, size: int) -> bytes:
        parts: list[bytes] = []
        left = size
        while left:
            first, start = self._pieces[0], self._read_bytes
            part = first[start : start + left] if start or left < len(first) else first
            left -= len(part)
            parts.append(part)
            self._read_bytes += len(part)
            if self._read_bytes == len(first):
                self._pieces.popleft()
                self._read_bytes = 0
        self._waiting_bytes -= size
        self._go_on()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _go_on(self) -> None:
        if self._is_paused and self._waiting_bytes <= max(WAITING_BYTES // 2, self._wanted_bytes):
            self._is_paused = False
            self._source.resume()
