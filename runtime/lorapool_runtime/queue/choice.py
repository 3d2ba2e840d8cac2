"""Which request comes next: pure, so that it can be tested with any clock."""

from collections.abc import Sequence
from dataclasses import dataclass

# What is in force for a request: identities of the files and their scales. Empty: the bare base.
Stack = tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Waiting:
    """A request in the queue, as far as the choice goes."""

    stack: Stack
    since_s: float


def choose(waiting: Sequence[Waiting], active: Stack, now_s: float, patience_s: float) -> int:
    """Index of the request that comes next; `waiting` is in order of arrival and not empty.

    Requests for what is in force come first, which saves switches, but only while nobody has waited longer
    than `patience_s`: then the oldest comes.
    """
    if now_s - waiting[0].since_s > patience_s:
        return 0
    return next((i for i, w in enumerate(waiting) if w.stack == active), 0)
