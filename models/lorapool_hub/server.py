"""The Hub as a server: in a thread for a test, or for good."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from lorapool_hub.app import SmallHub, make_app


@contextmanager
def running(hub: SmallHub, host: str = "127.0.0.1") -> Iterator[str]:
    """The Hub on a free port, in a thread, for as long as the block; the value is its URL."""
    listener = socket.create_server((host, 0))
    config = uvicorn.Config(make_app(hub), log_level="critical", lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        # The socket listens already: a request that comes before the server does waits in its backlog.
        yield f"http://{host}:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        listener.close()


def serve(hub: SmallHub, host: str, port: int) -> None:
    """Serve until a signal ends it."""
    uvicorn.run(make_app(hub), host=host, port=port, lifespan="off", log_level="warning")
