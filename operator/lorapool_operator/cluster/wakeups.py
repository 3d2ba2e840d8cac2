"""Changes of pools, and the one who acts on them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Wake = Callable[[str], None]


class Wakeups:
    """Called with the key of each pool that a change concerns; reaches nobody unless this replica leads."""

    def __init__(self) -> None:
        self._wake: Wake | None = None

    def __call__(self, pool: str) -> None:
        if self._wake is not None:
            self._wake(pool)

    @contextmanager
    def reaching(self, wake: Wake) -> Iterator[None]:
        """Wake by that function meanwhile."""
        self._wake = wake
        try:
            yield
        finally:
            self._wake = None
