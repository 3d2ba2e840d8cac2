"""When there are so many files to bring ahead that a process of its own is worth it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

import structlog

from lorapool_runtime.sources.ahead.messages import AheadSetup
from lorapool_runtime.sources.ahead.process import AheadGone, AheadProcess

log = structlog.get_logger(__name__)

# The other process takes half a second of a core to start, and some 65 MB: a few files are here sooner without it.
_MANY: Final = 200
# So long it stays when it has nothing to do.
_IDLE_S: Final = 30.0
# One that has ended by itself is not replaced at once: threads of this process do its work.
_PAUSE_S: Final = 60.0

Start = Callable[[AheadSetup], Awaitable[AheadProcess]]


class FilesAhead:
    """Counts the files that are on their way ahead of any request. Lives on the event loop.

    Threads that bring thousands of them would take turns with the event loop, and it would answer late.
    """

    def __init__(
        self,
        setup: AheadSetup | None,
        many: int = _MANY,
        idle_s: float = _IDLE_S,
        start: Start = AheadProcess.started,
    ) -> None:
        """`setup`: None: there is never another process. `many`: with more files on their way one is started."""
        self._setup = setup
        self._many = many
        self._idle_s = idle_s
        self._start = start
        self._count = 0
        self._process: AheadProcess | None = None
        self._starting: asyncio.Task[None] | None = None
        self._ending: asyncio.TimerHandle | None = None
        self._not_before_s = 0.0

    @property
    def process(self) -> AheadProcess | None:
        """The other process; None: there is none that takes orders now."""
        if self._process is not None and self._process.is_gone:
            self._lose("it has ended")
        return self._process

    async def ready(self) -> AheadProcess | None:
        """The other process, once it is up where it starts just now; None: there is none that takes orders now.

        Threads that went on meanwhile would hold up both the loop and the start.
        """
        if (starting := self._starting) is not None:
            await asyncio.wait((starting,))
        return self.process

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """A file is on its way, until the end of the block."""
        self._count += 1
        self._stay()
        if self._count > self._many:
            self._request()
        try:
            yield
        finally:
            self._count -= 1
            if not self._count:
                self._ending = asyncio.get_running_loop().call_later(self._idle_s, self._end)

    def close(self) -> None:
        """There will be no more files."""
        self._setup = None
        self._stay()
        if self._starting is not None:
            self._starting.cancel()
        if self._process is not None:
            self._process.close()
            self._process = None

    def _stay(self) -> None:
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None

    def _end(self) -> None:
        if self._process is not None:
            self._process.end()
            self._process = None

    def _request(self) -> None:
        is_early = asyncio.get_running_loop().time() < self._not_before_s
        if self._setup is not None and self.process is None and self._starting is None and not is_early:
            self._starting = asyncio.create_task(self._begin(self._setup), name="start what brings files ahead")

    async def _begin(self, setup: AheadSetup) -> None:
        try:
            self._process = await self._start(setup)
        except (AheadGone, OSError) as error:  # a TimeoutError too
            self._lose(str(error) or type(error).__name__)
        finally:
            self._starting = None

    def _lose(self, why: str) -> None:
        log.warning("no other process brings files ahead now", error=why)
        self._process = None
        self._not_before_s = asyncio.get_running_loop().time() + _PAUSE_S
