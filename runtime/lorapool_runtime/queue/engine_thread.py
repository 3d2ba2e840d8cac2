"""Calls of the engine on its one thread, what is finished beside it, and how it is found to be lost."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Final, TypeVar

import structlog

from lorapool_runtime.adapters.file import HostAdapter
from lorapool_runtime.engine.contract import Stop
from lorapool_runtime.engine.result import Rendering, Result, Unfinished
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
    """Renders batches. Lives on the event loop; all of the engine's calls here run on `thread`.

    What it left unfinished is finished on `finish_thread`, one request at a time.
    """

    def __init__(
        self,
        engine: GetRenderer,
        thread: Executor,
        finish_thread: Executor,
        on_lost: Callable[[str], None],
        clock: Clock,
    ) -> None:
        """`on_lost` is told why this process can make no image any more."""
        self._engine = engine
        self._thread = thread
        self._finish_thread = finish_thread
        self._on_lost = on_lost
        self._clock = clock
        # Of what is on a thread, the time when nobody wants it any more.
        self._until_s: dict[object, float] = {}
        self._turn = asyncio.Lock()
        self._defects = 0

    @property
    def overdue_s(self) -> float:
        """For how long the engine has been at work on what nobody can want any more; 0 as long as somebody can."""
        return max((0.0, *(self._clock() - until_s for until_s in self._until_s.values())))

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
            elif any(isinstance(result, Rendering) for result in results):
                self._defects = 0
            return results
        return [result for entry in batch for result in await self.render([entry], waiting)]

    async def finish(self, entry: QueueEntry, result: Result) -> Rendering | RuntimeFailure:
        """What becomes of one request of a batch that was rendered. What fails here is its own failure."""
        if not isinstance(result, Unfinished):
            return result
        try:
            with self._wanted_until(entry.deadline_s):
                loop = asyncio.get_running_loop()
                made = await loop.run_in_executor(self._finish_thread, result.finish)
        except RuntimeError as error:
            # What a device says comes late, and may be about anything that it did before: so it is tried.
            failed = self._failed(error)
            return failed if await self._check("an error of the device") else DeviceLost(str(error))
        except Exception as error:  # noqa: BLE001 -- one request's failure must never end the queue
            return self._failed(error)
        self._defects = 0
        return made

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
            await self._on_thread(_CHECK_S, self._engine().wake)
        except DeviceLost as error:
            raise self._lost(error) from error

    async def check_after_defects(self) -> None:
        """After too many defects in a row, see whether the bare base still works."""
        if self._defects < _DEFECTS:
            return
        self._defects = 0
        await self._check(f"{_DEFECTS} failures in a row")

    async def _check(self, after: str) -> bool:
        """Whether the bare base still works; else this process is lost."""
        try:
            await self._on_thread(_CHECK_S, self._engine().check)
        except Exception as error:
            log.exception("the engine has failed its check")
            self._on_lost(f"after {after} the bare base fails too: {type(error).__name__}")
            return False
        return True

    async def _rendered(self, batch: Sequence[QueueEntry], waiting: int) -> Sequence[Result]:
        requests = [entry.for_engine(self._clock) for entry in batch]
        left_s = max(entry.deadline_s for entry in batch) - self._clock()

        def render() -> Sequence[Result]:
            try:
                return self._engine().render(requests, waiting)
            finally:
                # The thread keeps what it has done for a moment, while the next batch's weights come: not these.
                requests.clear()

        return await self._on_thread(left_s, render)

    async def _on_thread(self, timeout_s: float, work: Callable[[], T]) -> T:
        """`timeout_s`: of its turn, for how long somebody wants it."""
        async with self._turn:
            with self._wanted_until(self._clock() + timeout_s):
                return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    @contextmanager
    def _wanted_until(self, until_s: float) -> Iterator[None]:
        work = object()
        self._until_s[work] = until_s
        try:
            yield
        finally:
            del self._until_s[work]

    def _failed(self, error: Exception) -> RuntimeFailure:
        if isinstance(error, RuntimeFailure):
            return error
        self._defects += 1
        return answers.defect(error)

    def _lost(self, error: DeviceLost) -> DeviceLost:
        self._on_lost(f"the device is lost: {error}")
        return error
