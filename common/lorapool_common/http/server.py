"""An HTTP server of a process that may have several, with limits for clients and an end in two steps."""

import math
import socket
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, Final

import uvicorn

from lorapool_common.http.certificate import ServerCertificate
from lorapool_common.http.connection import Connection
from lorapool_common.http.readers import TAKE_TIMEOUT_S

# An idle connection is closed by the client or by a proxy in front of the server, never by the server: one that closes
# first resets the request that was just being sent. nginx and AWS's balancers keep idle connections for 60 s.
KEEP_ALIVE_S: Final = 75
# From the first byte of a request's head to its last.
HEAD_TIMEOUT_S: Final = 20.0
# More at once are answered with 503: each takes a file descriptor and some 50 kB.
MAX_CONNECTIONS: Final = 4096

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class QuietServer(uvicorn.Server):
    """A server that leaves signals to its process."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Server(QuietServer):
    """Serves an ASGI application at a socket, until `end`."""

    def __init__(
        self,
        app: App,
        listener: socket.socket,
        *,
        certificate: ServerCertificate | None = None,
        keep_alive_s: int = KEEP_ALIVE_S,
        head_timeout_s: float = HEAD_TIMEOUT_S,
        take_timeout_s: float = TAKE_TIMEOUT_S,
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        """Listens at the socket, which is bound, and closes it in the end. With a certificate it speaks TLS."""
        self._listener = listener
        self._is_draining = False
        limits = {"head_timeout_s": head_timeout_s, "take_timeout_s": take_timeout_s}
        limited = type("LimitedConnection", (Connection,), limits)
        super().__init__(
            uvicorn.Config(
                self._closing(app),
                interface="asgi3",
                http=limited,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,  # nobody here asks for a client's address, and a header could forge it
                timeout_keep_alive=keep_alive_s,
                limit_concurrency=max_connections,
                ssl_context_factory=(lambda *_: certificate.context) if certificate else None,
            )
        )

    async def run_until_ended(self) -> None:
        """Serve until `end`."""
        await self.serve(sockets=[self._listener])

    def drain(self) -> None:
        """Go on serving, but close the connection after each reply, and say so: clients connect anew, elsewhere.

        A connection that idles stays open until `end`, so that a request that its client is just sending is served.
        """
        self._is_draining = True
        for connection in self.server_state.connections:
            if isinstance(connection, Connection) and connection.is_serving:
                connection.cycle.keep_alive = False

    def end(self, within_s: float) -> None:
        """Take no more connections and finish the requests that run, those that take longer than this excepted."""
        self.config.timeout_graceful_shutdown = math.ceil(within_s)
        self.should_exit = True

    def _closing(self, app: App) -> App:
        async def wrapped(scope: Message, receive: Receive, send: Send) -> None:
            async def send_closing(message: Message) -> None:
                if self._is_draining and message["type"] == "http.response.start":
                    message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
                await send(message)

            await app(scope, receive, send_closing)

        return wrapped
