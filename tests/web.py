"""A web server on a loopback address that answers what a test tells it to."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Reply:
    """One answer. `hold` is waited for before the second half of the body is sent."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    hold: threading.Event | None = None


Answer = Reply | Callable[[BaseHTTPRequestHandler], Reply]


@dataclass
class Web:
    """Answers by path without its query, and the requests that came: (method, path with query).

    Attributes:
        default: answers all other paths.
    """

    host: str
    answers: dict[str, Answer] = field(default_factory=dict)
    default: Answer = field(default_factory=lambda: Reply(404))
    seen: list[tuple[str, str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    def count(self, method: str, path: str) -> int:
        return sum(m == method and p.partition("?")[0] == path for m, p in self.seen)


@contextlib.contextmanager
def serving(address: str = "127.0.0.1") -> Iterator[Web]:
    """A server on a free port of that address."""
    web = Web(host="")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            web.seen.append((self.command, self.path))
            answer = web.answers.get(self.path.partition("?")[0], web.default)
            self._send(answer(self) if callable(answer) else answer)

        do_HEAD = do_GET  # noqa: N815 -- the name that http.server asks for

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", "0")))
            self.do_GET()

        def _send(self, reply: Reply) -> None:
            self.send_response(reply.status)
            for name, value in {"content-length": str(len(reply.body)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "HEAD":
                return
            half = len(reply.body) // 2
            with contextlib.suppress(ConnectionError):
                self.wfile.write(reply.body[:half])
                self.wfile.flush()
                if reply.hold is not None:
                    reply.hold.wait(30)
                self.wfile.write(reply.body[half:])

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer((address, 0), Handler)
    web.host = f"{address}:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
