"""The event loop of a busy process has its turns."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Final, TypeVar

from lorapool_common.collector import spare_the_collector

_Item = TypeVar("_Item")

# Threads that load files take turns with the loop: each may keep it waiting for so long. Python's own is 5 ms.
_SWITCH_S: Final = 0.001
# Objects that came and did not go before the collector looks at those; how many such looks before it looks at what has
# outlived one, and at all that there is. With Python's own (700, 10, 10) a pod that took in ten thousand adapters stood
# still for 50 to 90 ms again and again, and where the second look is at 50,000 objects for 20 ms. Cycles of long-lived
# objects are freed late: at two millions.
_COLLECTED_AT: Final = (5_000, 2, 200)


def prefer_the_loop() -> None:
    """Make other threads give way sooner, and take what the process has now out of the collector's sight.

    It stays, whatever comes: to look through hundreds of thousands of objects again and again, the loop would stand
    still for as long each time.
    """
    sys.setswitchinterval(_SWITCH_S)
    spare_the_collector(*_COLLECTED_AT)


# Work on the loop that takes less than this is over before anybody has waited for it.
_SHORT_S: Final = 0.1
# How long longer work rests after each slice, in the time that the slice took; and at most.
_RESTS: Final = 2.0
_LONGEST_REST_S: Final = 0.02


class LongWork:
    """One piece of work on the event loop, in slices of a few milliseconds, with a pause after each.

    The loop has its other turns in the pauses. Work that has taken long already gives its core away too, for longer
    than it has had it: where several pods of a node take in a large catalog at the same moment, a loop that is always
    busy has to wait for a core in the middle of a turn, and one that has rested gets one at once.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._since_s = clock()
        self._taken_s = 0.0

    async def pause(self) -> None:
        """After a slice."""
        took_s = self._clock() - self._since_s
        self._taken_s += took_s
        await self._sleep(min(_RESTS * took_s, _LONGEST_REST_S) if self._taken_s > _SHORT_S else 0.0)
        self._since_s = self._clock()


async def in_slices(items: Iterable[_Item], each: int = 1) -> AsyncIterator[_Item]:
    """The items, as long work: a pause after so many."""
    work = LongWork()
    for number, item in enumerate(items, 1):
        yield item
        if not number % each:
            await work.pause()
