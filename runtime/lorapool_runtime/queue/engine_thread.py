"""Calls of the engine on its one thread, and how it is found to be lost."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Final, TypeVar

import structlog

from lorapool_runtime.adapters.file import HostAdapter
from lorapool_runtime.engine.contract import Result, Stop
from lorapool_runtime.errors import DeviceLost, RuntimeFailure
from lorapool_runtime.queue import answers
from lorapool_runtime.queue.entry import QueueEntry
from lorapool_runtime.queue.renderer import GetRenderer

log = structlog.get_logger(__name__)

Clock = Callable[[], float]
T = TypeVar("T")
# After so many defects in a row the base is tried by itself: it may be broken, and not the requests.
_DEFECTS: Final = 3
# As long as that may take.
_CHECK_S: Final = 60.0


class EngineThread:
    """Renders batches. Lives on the event loop; all of the engine's calls here run on `thread`."""

    def __init__(self, engine: GetRenderer, thread: Executor, on_lost: Callable[[str], None], clock: Clock) -> None:
        """`on_lost` is told why this process can make no image any more."""
        self._engine = engine
        self._thread = thread
        self._on_lost = on_lost
        self._clock = clock
        self._until_s: float | None = None
        self._defects = 0

    @property
    def overdue_s(self) -> float:
        """For how long the engine has been at work on what nobody can want any more; 0 as long as somebody can."""
        return 0.0 if self._until_s is None else max(0.0, self._clock() - self._until_s)

    async def render(self, batch: Sequence[QueueEntry], waiting: int) -> Sequence[Result]:
        """One result each. What fails for several at once is tried for each alone: one must not hurt the others.

        Args:
            waiting: how many more requests for the first one's stack wait.

        Raises:
            ValueError: the engine gave another number of results.
        """
        try:
            results = await self._rendered(batch, waiting)
        except DeviceLost as error:
            return [self._lost(error)] * len(batch)
        except Exception as error:  # noqa: BLE001 -- one request's failure must never end the queue
            if len(batch) == 1:
                return [self._failed(error)]
            log.warning("a batch failed; trying each request alone", error=type(error).__name__, requests=len(batch))
        else:
            if len(results) != len(batch):
                raise ValueError(f"{len(results)} results for {len(batch)} requests")
            lost = next((result for result in results if isinstance(result, DeviceLost)), None)
            if lost is not None:
                self._lost(lost)
            elif not all(isinstance(result, RuntimeFailure) for result in results):
                self._defects = 0
            return results
        return [result for entry in batch for result in await self.render([entry], waiting)]

    async def merge_loss(self, adapter: HostAdapter, stop: Stop) -> float | None:
        """Work for nobody's request, which has no deadline: what hangs is found by the request that comes behind it."""
        engine = self._engine()
        return await asyncio.get_running_loop().run_in_executor(self._thread, engine.merge_loss, adapter, stop)

    async def sleep(self, stop: Stop) -> None:
        """Work for nobody's request, too. Raises: Stopped, CannotSleep, DeviceLost."""
        engine = self._engine()
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, engine.sleep, stop)
        except DeviceLost as error:
            raise self._lost(error) from error

    async def wake(self) -> None:
        """The engine awake, within the time that a check may take. Raises: CannotWake, DeviceLost."""
        try:
            await self._on_thread(self._clock() + _CHECK_S, self._engine().wake)
        except DeviceLost as error:
            raise self._lost(error) from error

    async def check_after_defects(self) -> None:
        """After too many defects in a row, see whether the bare base still works."""
        if self._defects < _DEFECTS:
            return
        self._defects = 0
        try:
            await self._on_thread(self._clock() + _CHECK_S, self._engine().check)
        except Exception as error:
            log.exception("the engine has failed its check")
            self._on_lost(f"after {_DEFECTS} failures in a row the bare base fails too: {type(error).__name__}")

    async def _rendered(self, batch: Sequence[QueueEntry], waiting: int) -> Sequence[Result]:
        requests = [entry.for_engine(self._clock) for entry in batch]
        until_s = max(entry.deadline_s for entry in batch)
        return await self._on_thread(until_s, lambda: self._engine().render(requests, waiting))

    async def _on_thread(self, until_s: float, work: Callable[[], T]) -> T:
        self._until_s = until_s
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            self._until_s = None

    def _failed(self, error: Exception) -> RuntimeFailure:
        if isinstance(error, RuntimeFailure):
            return error
        self._defects += 1
        return answers.defect(error)

    def _lost(self, error: DeviceLost) -> DeviceLost:
        self._on_lost(f"the device is lost: {error}")
        return error
