"""How long to wait before the next try."""

import random


class Backoff:
    """Doubling delays up to a bound, with jitter, so that many do not come back at once."""

    def __init__(self, first_s: float, most_s: float) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._failures = 0

    def next(self) -> float:
        """Seconds to wait after one more failure."""
        # Beyond 2**32 doublings only overflow; the bound was reached long before.
        delay = min(self._most_s, self._first_s * 2.0 ** min(self._failures, 32))
        self._failures += 1
        return delay * random.uniform(0.8, 1.2)  # noqa: S311 -- not for secrets

    def reset(self) -> None:
        self._failures = 0
