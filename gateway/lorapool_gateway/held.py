"""How much the gateway holds at once: requests that wait, for each pool, bytes of their bodies, answers for later."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from lorapool_gateway.errors import Busy

MAX_BODIES_BYTES: Final = 256 << 20
# Answers to requests in the background.
MAX_KEPT_BYTES: Final = 128 << 20
KEEP_S: Final = 600.0


class WaitingRequests:
    """Requests that wait for a pod or for an adapter."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    @contextmanager
    def place(self, pool: str, most: int) -> Iterator[None]:
        """A place among those that wait for the pool. Raises: Busy, where as many wait as may."""
        if self._counts[pool] >= most:
            raise Busy(f"pool {pool} is busy: {most} requests wait for it already")
        self._counts[pool] += 1
        try:
            yield
        finally:
            self._counts[pool] -= 1
            if not self._counts[pool]:
                del self._counts[pool]


class Bodies:
    """Bytes of the bodies of all requests that have no answer yet.

    A body counts until its request is answered: what is kept of it when it has been read, a prompt and pictures, is
    never larger.
    """

    def __init__(self, max_bytes: int = MAX_BODIES_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0

    @contextmanager
    def share(self) -> Iterator["Share"]:
        """What one request takes, given back at the end."""
        share = Share(self)
        try:
            yield share
        finally:
            self._bytes -= share.size_bytes

    def take(self, size_bytes: int) -> None:
        """Count so many more. Raises: Busy, where that is too much."""
        if self._bytes + size_bytes > self._max_bytes:
            raise Busy("the gateway holds as many requests as it has memory for")
        self._bytes += size_bytes


class Share:
    """What one request has taken so far."""

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self.size_bytes = 0

    def grow(self, by_bytes: int) -> None:
        """Raises: Busy."""
        self._bodies.take(by_bytes)
        self.size_bytes += by_bytes
