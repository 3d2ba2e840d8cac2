"""A connection to a pod: one request, then its answer, then the next; read by llhttp into a buffer that all share."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from lorapool_gateway.pods.exchange.answer import HttpAnswer

# Of an answer's status line and headers, and of what is around its body.
MAX_HEAD_BYTES: Final = 64 << 10
# What is around the parts of a body may take so many times their bytes: a chunk of one byte has five around it.
_AROUND: Final = 8
_NO_BODY: Final = frozenset({204, 304})


class _Surplus(Exception):
    """More comes than the answer that was asked for."""


class PodConnection(asyncio.BufferedProtocol):
    """One connection. What is not HTTP, or more than was asked for, ends it.

    Attributes:
        is_usable: another request may be sent.
        idle_since_s: by the clock of the event loop, when it was kept.
    """

    def __init__(self, buffer: memoryview, keep: Callable[["PodConnection"], None]) -> None:
        """
        Args:
            buffer: what is read lies there for a moment; connections of one event loop can share it.
            keep: is called with this where an answer was read and another request may be sent.
        """
        self.idle_since_s = 0.0
        self._buffer = buffer
        self._keep = keep
        self._parser: HttpResponseParser | None = HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._answer: HttpAnswer | None = None
        self._is_sent = self._is_interim = self._is_closed = self._is_chunked = self._is_kept_alive = False
        self._may_write = asyncio.Event()
        self._may_write.set()
        # Of this answer: all that came, and its body.
        self._came_bytes = self._body_bytes = 0

    @property
    def is_usable(self) -> bool:
        return not self._is_closed and self._transport is not None and not self._transport.is_closing()

    async def ask(self, head: bytes, body: bytes | AsyncGenerator[bytes, None]) -> HttpAnswer:
        """Send a request; its answer as soon as that has begun. Who calls it releases the answer, or aborts this.

        Raises:
            OSError: the connection breaks, or no HTTP comes.
        """
        transport = self._transport
        if transport is None or not self.is_usable:
            raise ConnectionResetError("the connection was closed")
        answer = self._answer = HttpAnswer(self)
        self._came_bytes = self._body_bytes = 0
        self._is_sent = self._is_chunked = self._is_kept_alive = False
        if isinstance(body, bytes):
            transport.write(head + body)
            self._is_sent = True
        else:
            transport.write(head)
            async with aclosing(body):
                await self._send(transport, answer, body)
        await answer.begun()
        return answer

    async def _send(self, transport: asyncio.Transport, answer: HttpAnswer, body: AsyncGenerator[bytes, None]) -> None:
        """As the pod takes it; nothing more once it answers."""
        async for piece in body:
            if answer.status or not self.is_usable:
                return
            transport.write(piece)
            await self._may_write.wait()
        self._is_sent = True

    def end(self) -> None:
        """The answer is read no further."""
        answer, self._answer = self._answer, None
        if answer is not None and answer.is_whole and self._is_sent and self._is_kept_alive and self.is_usable:
            self._keep(self)
        else:
            self.abort()

    def abort(self) -> None:
        self._is_closed = True
        if self._transport is not None:
            self._transport.abort()

    def pause(self) -> None:
        if self._transport is not None and self.is_usable:
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._transport is not None and self.is_usable:
            self._transport.resume_reading()

    # What follows is called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one without saying so

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        answer = self._answer
        if answer is None or answer.is_whole or self._parser is None:
            self.abort()
            return
        self._came_bytes += nbytes
        try:
            self._parser.feed_data(self._buffer[:nbytes])
        except (HttpParserError, HttpParserUpgrade) as error:
            self._is_kept_alive = False
            answer.fail(ConnectionError(f"the answer is no HTTP: {error}"))
            self.abort()
        if self._came_bytes > MAX_HEAD_BYTES + (1 + _AROUND) * self._body_bytes:
            answer.fail(ConnectionError("there is more around the answer's body than may be"))
            self.abort()
        answer.wake()

    def eof_received(self) -> bool:
        answer = self._answer
        # Else a body without a length ends with its connection.
        if answer is not None and answer.status and answer.length is None and not self._is_chunked:
            answer.is_whole = True
            answer.wake()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_closed = True
        self._may_write.set()
        # Each holds this, and this them: what has come of an answer would stay until the garbage collector comes.
        self._parser = None
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.fail(exc if isinstance(exc, OSError) else ConnectionResetError("the connection has ended"))

    def pause_writing(self) -> None:
        self._may_write.clear()

    def resume_writing(self) -> None:
        self._may_write.set()

    # What follows is called by the parser, while there is an answer to come.

    def on_message_begin(self) -> None:
        if self._answer is None or self._answer.is_whole:
            raise _Surplus
        self._is_interim = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._answer is None or self._answer.status:
            return  # of a trailer
        match name.lower():
            case b"content-type":
                self._answer.content_type = value.partition(b";")[0].strip().lower().decode("latin-1")
            case b"content-length":
                self._answer.length = int(value)
            case b"transfer-encoding":
                self._is_chunked = True

    def on_headers_complete(self) -> None:
        if self._answer is None or self._parser is None:
            return
        status: int = self._parser.get_status_code()
        self._is_interim = status < 200
        if self._is_interim:
            self._answer.length, self._is_chunked = None, False
            return
        if status in _NO_BODY:
            self._answer.length = 0
        self._answer.status = status
        self._may_write.set()

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._answer is not None:
            self._answer.came(body)

    def on_message_complete(self) -> None:
        if self._answer is None or self._is_interim or self._parser is None:
            return
        self._is_kept_alive = self._parser.should_keep_alive()
        self._answer.is_whole = True
