"""One connection of a server: HTTP/1.1 read by llhttp, with limits on what a client may send and how slowly."""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from lorapool_common.http.readers import LetsStalledReadersGo

# Of a request's line and headers, and of the trailers of its body.
MAX_HEAD_BYTES: Final = 64 << 10
_HEAD: Final = b"HTTP/1."
# A larger body is not copied for it.
_JOINED_BYTES: Final = 1 << 20


class HeadTooLarge(Exception):
    """A client sends more of a request's head, or of what is around its body, than the limit."""


class Connection(LetsStalledReadersGo, HttpToolsProtocol):
    """A connection that is closed when its client sends nothing at all, or half a request's head, and then nothing.

    The parser keeps what it has read of a header until that is whole, and has no limits: they are here.

    A client that ends its side alone looks like one that has gone. An application that waits for its client to go is
    told so, and the connection ends; requests of other applications that have come whole are answered first.
    """

    head_timeout_s: float
    _timer: asyncio.TimerHandle | None = None
    _is_head_timed = False
    _in_head = False
    # Of the head, as far as it is parsed; and of all that came since the last part of a body, or the end of a head.
    _head_bytes = 0
    _unparsed_bytes = 0
    # The one whose application runs; `cycle` is the one that came last.
    _running: RequestResponseCycle | None = None
    has_client_ended = False

    @property
    def is_serving(self) -> bool:
        """Whether a request has come and its reply is not complete."""
        return self.cycle is not None and not self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(HeadWithBody(transport, self.loop))  # type: ignore[arg-type]
        self._arm(self.timeout_keep_alive)

    def data_received(self, data: bytes) -> None:
        self._unparsed_bytes += len(data)
        super().data_received(data)
        if self._unparsed_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.transport.close()
        if self.is_serving:
            self._disarm()
        elif not self._in_head:
            self._disarm()
            self._arm(self.timeout_keep_alive)  # the rest of a body whose request has been answered before
        elif not self._is_head_timed:
            # One limit for all of the head: a client that sends a byte now and then does not extend it.
            self._disarm()
            self._is_head_timed = True
            self._arm(self.head_timeout_s)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Return whether the connection stays open: there are answers to send, and no TLS, which has no half end."""
        self.has_client_ended = True
        if not self.is_serving or self.transport.get_extra_info("sslcontext") is not None:
            return False
        if self._running is not None:
            self._running.message_event.set()
        return True

    def on_message_begin(self) -> None:
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Raises: HeadTooLarge, which the parser takes for an invalid request."""
        self._head_bytes += len(url)
        if self._head_bytes > MAX_HEAD_BYTES:
            raise HeadTooLarge
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Raises: HeadTooLarge, as well."""
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > MAX_HEAD_BYTES:
            raise HeadTooLarge
        # Trailers come when the application has the headers already: nobody reads them.
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head, self._unparsed_bytes = False, 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unparsed_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unparsed_bytes = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.has_client_ended and not self.is_serving:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        # Requests that wait for their turn hold the connection, and the connection them.
        self.pipeline.clear()
        if self._running is not None:
            self._running.disconnected = True
            self._running.message_event.set()
            self._running = None
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle

        async def with_the_end(scope: Any, _receive: Any, send: Any) -> None:
            await app(scope, _Received(self, cycle), send)

        super()._start_asgi_task(cycle, with_the_end)

    def _unsupported_upgrade_warning(self) -> None:
        """An offer of another protocol is declined by an answer in this one. The parser reads nothing after it."""
        if self.cycle is not None:
            self.cycle.keep_alive = False

    def _arm(self, seconds: float) -> None:
        self._timer = self.loop.call_later(seconds, self._give_up)

    def _disarm(self) -> None:
        self._is_head_timed = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        if not self.is_serving and not self.transport.is_closing():
            self.transport.close()


class _Received:
    """What an application receives of a request: as the cycle has it, and the end of the client's side as its going."""

    def __init__(self, connection: Connection, cycle: RequestResponseCycle) -> None:
        self._connection = connection
        self._cycle = cycle
        self._is_whole = False

    async def __call__(self) -> Any:
        if not self._is_over(self._cycle.body):
            message: Any = await self._cycle.receive()
            if message["type"] != "http.request" or not self._is_over(message["body"]):
                self._is_whole = not message.get("more_body", False)
                return message
        # What it still sends is for nobody.
        self._cycle.disconnected = True
        self._connection.transport.close()
        return {"type": "http.disconnect"}

    def _is_over(self, body: bytes | bytearray) -> bool:
        """Whether nothing is to come after a body that is empty."""
        return self._connection.has_client_ended and not body and (self._is_whole or self._cycle.more_body)


class HeadWithBody:
    """A transport that holds the head of a reply back until the event loop has its next turn.

    Written alone it wakes a client for what is of no use to it, which on the same core comes before the body.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head = b""
        # What each request asks for, found without `__getattr__`.
        self.is_closing = transport.is_closing
        self.get_extra_info = transport.get_extra_info

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._head:
            head, self._head = self._head, b""
            if len(data) <= _JOINED_BYTES:
                self._transport.write(b"".join((head, data)))
                return
            self._transport.write(head)
        elif data[: len(_HEAD)] == _HEAD:
            self._head = bytes(data)
            self._loop.call_soon(self._flush)
            return
        self._transport.write(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def get_write_buffer_size(self) -> int:
        return self._transport.get_write_buffer_size() + len(self._head)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _flush(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)
