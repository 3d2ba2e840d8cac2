"""How much the gateway holds at once: requests that wait, for each pool, bytes of their bodies, answers for later."""

from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Final, Self, TypeVar

from lorapool_gateway.errors import Busy

MAX_BODIES_BYTES: Final = 256 << 20
# Answers to requests in the background.
MAX_KEPT_BYTES: Final = 128 << 20
KEEP_S: Final = 600.0
# Of the places of requests that wait for a pool, so many are for one caller.
_MOST_OF_ONE: Final = 0.75

Counted = TypeVar("Counted", bound=Hashable)


class WaitingRequests:
    """Requests that wait for a pod or for an adapter."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._of_callers: Counter[tuple[str, str]] = Counter()

    @contextmanager
    def place(self, pool: str, most: int, caller: str = "") -> Iterator[None]:
        """A place among those that wait for the pool. One caller leaves others a share of them; empty: unknown, all
        of them are for it.

        Raises:
            Busy: as many wait as may.
        """
        if self._counts[pool] >= most:
            raise Busy(f"pool {pool} is busy: {most} requests wait for it already")
        of_one = max(1, int(most * _MOST_OF_ONE))
        if caller and self._of_callers[pool, caller] >= of_one:
            raise Busy(f"pool {pool} is busy: {of_one} requests of this API key wait for it already")
        with _counted(self._counts, pool), _counted(self._of_callers, (pool, caller)):
            yield


@contextmanager
def _counted(counts: Counter[Counted], key: Counted) -> Iterator[None]:
    """One more of these while it lasts."""
    counts[key] += 1
    try:
        yield
    finally:
        counts[key] -= 1
        if not counts[key]:
            del counts[key]


class Bodies:
    """Bytes of the bodies of all requests that have no answer yet.

    A body counts until its request is answered: what is kept of it when it has been read, a prompt and pictures, is
    never larger.
    """

    def __init__(self, max_bytes: int = MAX_BODIES_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0

    def share(self) -> "Share":
        """What one request takes, given back at the end of a `with`, or when it is closed."""
        return Share(self)

    def give_back(self, size_bytes: int) -> None:
        """Count so many less."""
        self._bytes -= size_bytes

    def take(self, size_bytes: int) -> None:
        """Count so many more. Raises: Busy, where that is too much."""
        if self._bytes + size_bytes > self._max_bytes:
            raise Busy("the gateway holds as many requests as it has memory for")
        self._bytes += size_bytes


class Share:
    """What one request has taken so far. Who has it closes it once."""

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self.size_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give all of it back."""
        self._bodies.give_back(self.size_bytes)

    def grow(self, by_bytes: int) -> None:
        """Raises: Busy."""
        self._bodies.take(by_bytes)
        self.size_bytes += by_bytes
