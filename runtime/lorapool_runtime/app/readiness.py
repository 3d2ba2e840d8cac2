"""When a pod whose base is warm takes requests: as soon as it serves what it, or the pod that it replaces, served."""

import time
from collections.abc import Callable, Collection

import structlog

log = structlog.get_logger(__name__)


class Readiness:
    """The adapters that the last process of this pod served, and those of a pod that it replaces, until they are READY,
    or refused, or it is late. A pod that has begun to take requests waits for nothing any more."""

    def __init__(self, deadline_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`deadline_s`: from the first look on, so long at most."""
        self._deadline_s = deadline_s
        self._clock = clock
        self._since_s: float | None = None
        self._missing: frozenset[str] = frozenset()
        self._is_over = False

    def expect(self, keys: Collection[str]) -> None:
        """Wait for these too."""
        if not self._is_over:
            self._missing |= frozenset(keys)

    @property
    def missing(self) -> Collection[str]:
        """Keys that were still on their way at the last look."""
        return self._missing

    def is_complete(self, is_on_its_way: Callable[[str], bool]) -> bool:
        """Whether nothing is waited for any more; to be asked once the base is warm."""
        if not self._missing:
            self._is_over = True
            return True
        if self._since_s is None:
            self._since_s = self._clock()
        self._missing = frozenset(key for key in self._missing if is_on_its_way(key))
        if self._missing and self._clock() - self._since_s >= self._deadline_s:
            log.warning(
                "ready without all adapters that were served before",
                missing=len(self._missing),
                after_s=self._deadline_s,
            )
            self._missing = frozenset()
        self._is_over = not self._missing
        return self._is_over
