"""When an engine that nobody asks for falls asleep."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Final, Protocol

from lorapool_runtime.errors import CannotWake, DeviceLost
from lorapool_runtime.queue.engine_thread import Clock

LOOK_S: Final = 1.0
# Before it is tried again to sleep, or to wake for nobody's request, where that could not be.
AGAIN_S: Final = 60.0


class Idler(Protocol):
    """The queue, as far as sleep goes."""

    @property
    def is_asleep(self) -> bool: ...

    @property
    def idle_s(self) -> float:
        """For how long nobody has asked, or waited, for an image; 0 while somebody does."""
        ...

    async def fall_asleep(self) -> None:
        """Unless somebody comes meanwhile."""

    async def wake_up(self) -> None:
        """Raises: CannotWake, DeviceLost."""


class SleepStep(Enum):
    """What is to be done now."""

    NOTHING = "nothing"
    SLEEP = "sleep"
    WAKE = "wake"


def next_step(after_s: float | None, idle_s: float, *, is_asleep: bool) -> SleepStep:
    """The decision.

    Args:
        after_s: it shall sleep when nobody has asked for so long; None: never, and what sleeps wakes.
    """
    if after_s is None:
        return SleepStep.WAKE if is_asleep else SleepStep.NOTHING
    return SleepStep.SLEEP if not is_asleep and idle_s >= after_s else SleepStep.NOTHING


class SleepTimer:
    """Lives on the event loop. Requests wake the engine by themselves."""

    def __init__(
        self,
        until_warm: Callable[[], Awaitable[object]],
        idler: Idler,
        after_s: Callable[[], float | None],
        waiting: Callable[[], int],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Clock = time.monotonic,
    ) -> None:
        """`until_warm` returns when there is an engine; `after_s` tells what the operator wants; `waiting`: how many
        requests wait for files, and are not in the queue yet."""
        self._until_warm = until_warm
        self._idler = idler
        self._after_s = after_s
        self._waiting = waiting
        self._sleep = sleep
        self._clock = clock
        self._warm_s = clock()

    async def run(self) -> None:
        """Look for ever, until cancelled."""
        await self._until_warm()
        self._warm_s = self._clock()
        while True:
            await self._sleep(AGAIN_S if await self._failed() else LOOK_S)

    async def _failed(self) -> bool:
        """Do what is to be done now; whether it could not be."""
        idler = self._idler
        step = next_step(self._after_s(), self._idle_s, is_asleep=idler.is_asleep)
        if step is SleepStep.SLEEP:
            await idler.fall_asleep()
            return not idler.is_asleep and self._idle_s > 0
        if step is SleepStep.WAKE:
            try:
                await idler.wake_up()
            except (CannotWake, DeviceLost):
                return True
        return False

    @property
    def _idle_s(self) -> float:
        return 0.0 if self._waiting() else min(self._idler.idle_s, self._clock() - self._warm_s)
