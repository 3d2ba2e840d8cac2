"""The writes of a pass, some at once; those that take long are left to the next pass where something new came."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import zip_longest
from typing import Final, TypeVar

# More than the client sends at once, so that it never waits for the next one.
WRITES_UNDER_WAY: Final = 32
# Writes of one stage, before something new may have a pass.
SLICE_S: Final = 0.25
# In a large pool a pass costs more: it looks at all adapters.
_SLICE_OF_ONE_S: Final = SLICE_S / 1000

T = TypeVar("T")
R = TypeVar("R")


class Slices:
    """What the passes over one pool write, stage by stage.

    Where nothing new comes, a stage writes all that there is: passes cost something. Else it ends after a while, and so
    do those that follow, until all is written: what came last goes on beside what was left, one of each in turn.

    Attributes:
        has_left: whether this pass has left something to the next one.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._left: dict[str, frozenset[str]] = {}
        self._has_news: Callable[[], bool] = lambda: False
        self._slice_s = SLICE_S
        self.has_left = False

    def begin(self, has_news: Callable[[], bool], adapters: int) -> None:
        """A pass over so many begins; `has_news`: whether something happened since."""
        is_behind = any(self._left.values())
        self.has_left = False
        self._has_news = lambda: is_behind or has_news()
        self._slice_s = max(SLICE_S, _SLICE_OF_ONE_S * adapters)

    async def write(
        self, stage: str, act: Callable[[T], Awaitable[R]], items: Iterable[T], key_of: Callable[[T], str]
    ) -> list[tuple[T, R]]:
        """Those that were tried, with what became of them. `key_of`: of the same thing from pass to pass."""
        left: frozenset[str] = self._left.get(stage, frozenset())
        rows = list(items)
        ordered = _in_turn([r for r in rows if key_of(r) not in left], [r for r in rows if key_of(r) in left])
        until_s = self._clock() + self._slice_s
        done = await each(act, ordered, lambda: self._has_news() and self._clock() >= until_s)
        self._left[stage] = frozenset(map(key_of, ordered[len(done) :]))
        self.has_left |= len(done) < len(ordered)
        return list(zip(ordered, done, strict=False))


def _in_turn(some: Sequence[T], others: Sequence[T]) -> list[T]:
    pairs = zip_longest(((row,) for row in some), ((row,) for row in others), fillvalue=())
    return [row for pair in pairs for part in pair for row in part]


async def each(
    act: Callable[[T], Awaitable[R]], items: Iterable[T], is_cut: Callable[[], bool] = lambda: False
) -> list[R]:
    """All of them, some at once: a task for each of ten thousand would hold more memory than the adapters do.

    Those that come first, where it is cut.
    """
    rows = list(items)
    done: dict[int, R] = {}
    numbers = iter(range(len(rows)))

    async def some() -> None:
        while not is_cut() and (number := next(numbers, None)) is not None:
            done[number] = await act(rows[number])

    await asyncio.gather(*(some() for _ in range(min(WRITES_UNDER_WAY, len(rows)))))
    return [done[number] for number in range(len(done))]
