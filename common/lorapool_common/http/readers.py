"""Clients that ask and do not take the answer: what is not taken lies in memory."""

import asyncio
import contextlib
import fcntl
import sys
import termios
from typing import Any, Final

# A client that takes anything at all within it, however little, may go on.
TAKE_TIMEOUT_S: Final = 60.0


class LetsStalledReadersGo(asyncio.Protocol):
    """Part of a connection: its end, when answers wait to be sent and the client takes none of them for a while."""

    take_timeout_s: float = TAKE_TIMEOUT_S
    transport: Any
    loop: asyncio.AbstractEventLoop
    _take_timer: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch(self._waiting_bytes())

    def resume_writing(self) -> None:
        self._stop_watching()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_watching()
        super().connection_lost(exc)

    def _watch(self, waiting_bytes: int) -> None:
        self._stop_watching()
        self._take_timer = self.loop.call_later(self.take_timeout_s, self._look, waiting_bytes)

    def _look(self, before_bytes: int) -> None:
        waiting_bytes = self._waiting_bytes()
        if waiting_bytes < before_bytes:
            self._watch(waiting_bytes)
        else:
            self.transport.abort()

    def _waiting_bytes(self) -> int:
        """What waits here and in the kernel, whose own buffer takes more only when much of it is free."""
        waiting: int = self.transport.get_write_buffer_size()
        connection = self.transport.get_extra_info("socket")
        if connection is not None:
            with contextlib.suppress(OSError):
                waiting += int.from_bytes(fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)
        return waiting

    def _stop_watching(self) -> None:
        if self._take_timer is not None:
            self._take_timer.cancel()
            self._take_timer = None
