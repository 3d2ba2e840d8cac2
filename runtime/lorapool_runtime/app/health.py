"""Whether this process can serve at all: a lost device or a hung render ends it, so that it is started anew."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from lorapool_runtime.errors import OutOfService

log = structlog.get_logger(__name__)

_LOOK_S: Final = 1.0


class Health:
    """Lives on the event loop. Nothing makes a process well again that has failed."""

    def __init__(self) -> None:
        self.failure: str | None = None
        self._failed = asyncio.Event()

    @property
    def is_well(self) -> bool:
        return self.failure is None

    def fail(self, why: str) -> None:
        """Take the process out of service. The first reason stays."""
        if self.failure is None:
            self.failure = why
            log.error("out of service", why=why)
            self._failed.set()

    async def raise_on_failure(self) -> None:
        """Never return. Raises: OutOfService, as soon as the process has failed."""
        await self._failed.wait()
        raise OutOfService(self.failure)


class Watchdog:
    """Sees that the engine comes back from what it does."""

    def __init__(
        self,
        overdue_s: Callable[[], float],
        limit_s: float,
        on_hung: Callable[[str], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`overdue_s` tells for how long the engine has been at work on what nobody can want any more."""
        self._overdue_s = overdue_s
        self._limit_s = limit_s
        self._on_hung = on_hung
        self._sleep = sleep

    async def run(self) -> None:
        """Look for ever, until cancelled."""
        while True:
            overdue_s = self._overdue_s()
            if overdue_s > self._limit_s:
                self._on_hung(f"the engine has not come back for {overdue_s:.0f} s after the end of a request's time")
            await self._sleep(_LOOK_S)
