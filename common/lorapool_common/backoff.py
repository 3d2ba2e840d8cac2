"""Growing pauses between tries that fail."""

import random
from collections.abc import Callable
from typing import Final

JITTER: Final = 0.2
# The longest pause that is made because the other side asks for it.
MOST_ASKED_S: Final = 60.0
Uniform = Callable[[float, float], float]


class Backoff:
    """Pauses that double from the first to the last, each spread by the jitter; `reset` starts over.

    Args:
        first_s, last_s: seconds.
        jitter: how far a pause may be from its length, as a fraction of it.
        uniform: a random number between two bounds.
    """

    def __init__(
        self, first_s: float, last_s: float, *, jitter: float = JITTER, uniform: Uniform = random.uniform
    ) -> None:
        self.first_s = first_s
        self.last_s = last_s
        self._jitter = jitter
        self._uniform = uniform
        self._next_s = first_s

    def next(self, asked_s: float = 0.0) -> float:
        """The pause before the next try, in seconds; no shorter than the other side asks for, up to `MOST_ASKED_S`."""
        pause_s = self._next_s
        self._next_s = min(pause_s * 2, self.last_s)
        return max(pause_s * self._uniform(1 - self._jitter, 1 + self._jitter), min(asked_s, MOST_ASKED_S))

    def reset(self) -> None:
        """A try that worked: the next pause is the first again."""
        self._next_s = self.first_s
