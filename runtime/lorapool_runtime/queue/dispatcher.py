"""The one queue in front of the one engine thread."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import replace

import structlog

from lorapool_api.wire.reply import ErrorCode
from lorapool_runtime.engine.contract import Engine, Result
from lorapool_runtime.errors import (
    AdapterError,
    OutOfDeviceMemory,
    RecipeError,
    RequestError,
    RuntimeFailure,
    Stopped,
)
from lorapool_runtime.queue.choice import USUAL, Rules, Turn, ahead, choose, companions
from lorapool_runtime.queue.job import Job, Outcome, Wish

log = structlog.stdlib.get_logger(__name__)

Clock = Callable[[], float]


class Dispatcher:
    """Lives on the event loop; the engine works on `thread`, one forward at a time.

    While it does, what will be wanted next is brought nearer on `ahead_thread`.
    """

    def __init__(
        self,
        engine: Engine,
        thread: Executor,
        ahead_thread: Executor,
        max_pending: int,
        timeout_s: float,
        on_rendered: Callable[[Outcome], None] = lambda _: None,
        rules: Rules = USUAL,
        clock: Clock = time.monotonic,
    ) -> None:
        self._engine = engine
        self._thread = thread
        self._ahead_thread = ahead_thread
        self._max_pending = max_pending
        self._timeout_s = timeout_s
        self._on_rendered = on_rendered
        self._rules = rules
        self._clock = clock
        self._waiting: list[Job] = []
        self._turn = Turn((), clock())
        self._running: Sequence[Job] = ()
        self._looking: Future[None] | None = None
        self._stopping = False
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def pending(self) -> int:
        """Requests that wait."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Requests that are being made."""
        return len(self._running)

    def check_room(self) -> None:
        """Raises: RequestError when a request would not be taken now."""
        if self._stopping:
            raise RequestError(ErrorCode.NOT_READY, "this pod is stopping", retryable=True)
        if len(self._waiting) >= self._max_pending:
            message = f"{len(self._waiting)} requests are waiting in this pod, it takes no more"
            raise RequestError(ErrorCode.TOO_MANY_PENDING, message, retryable=True)

    async def render(self, wish: Wish) -> Outcome:
        """Wait for the turn, and for the images. Cancelling it gives the request up, also while it runs.

        Raises:
            RequestError: no room, stopping, too late, or what the engine says of the request's adapters.
        """
        self.check_room()
        now = self._clock()
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        mixes = all(self._engine.mixes(use.adapter) for use in wish.stack)
        job = Job(wish, mixes, now, now + self._timeout_s, future)
        self._waiting.append(job)
        self._arrived.set()
        try:
            async with asyncio.timeout(self._timeout_s):
                return await future
        except TimeoutError as error:
            raise self._too_late() from error
        finally:
            job.abandoned.set()
            if job in self._waiting:
                self._waiting.remove(job)

    async def run(self) -> None:
        """Serve for ever, until cancelled."""
        while True:
            while not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
            await self._serve(self._take_next())

    async def stop(self, grace_s: float) -> None:
        """Take no more, send those who wait elsewhere, and let what runs finish within the grace period."""
        self._stopping = True
        for job in self._waiting:
            _refuse(job, RequestError(ErrorCode.NOT_READY, "this pod is stopping", retryable=True))
        self._waiting.clear()
        try:
            async with asyncio.timeout(grace_s):
                await self._idle.wait()
        except TimeoutError:
            log.warning("giving up what still runs: the grace period is over", grace_s=grace_s)
            for job in self._running:
                _refuse(job, RequestError(ErrorCode.NOT_READY, "this pod is stopping", retryable=True))
                job.abandoned.set()

    def _take_next(self) -> list[Job]:
        """Out of those who wait, those that share the next forward, and at least one."""
        waiting = [j.waiting() for j in self._waiting]
        first = choose(waiting, self._turn, self._clock(), self._rules)
        together = companions(waiting, first, self._engine.batch(self._waiting[first].wish.recipe))
        taken = [self._waiting[i] for i in together]
        self._waiting = [job for job in self._waiting if job not in taken]
        if waiting[first].stack != self._turn.stack:
            self._turn = Turn(waiting[first].stack, self._clock())
        return taken

    async def _serve(self, taken: Sequence[Job]) -> None:
        jobs = [job for job in taken if not job.is_over(self._clock)]
        if not jobs:
            return
        self._running = jobs
        self._idle.clear()
        try:
            started = self._clock()
            results = await self._made(jobs)
            self._turn = replace(self._turn, switch_s=max(self._turn.switch_s, *map(_switch_s, results)))
            for job, result in zip(jobs, results, strict=True):
                self._finish(job, result, started)
        finally:
            self._running = ()
            self._idle.set()

    async def _made(self, jobs: Sequence[Job]) -> Sequence[Result]:
        """One result each. What fails for several at once is tried for each alone: one must not hurt the others."""
        try:
            return await self._on_thread(jobs)
        except Exception as error:  # noqa: BLE001 -- one request's failure must never end the queue
            if len(jobs) == 1:
                return [error if isinstance(error, RuntimeFailure) else self._defect(error)]
            log.warning("a batch failed; trying each request alone", error=type(error).__name__, requests=len(jobs))
        return [result for job in jobs for result in await self._made([job])]

    async def _on_thread(self, jobs: Sequence[Job]) -> Sequence[Result]:
        loop = asyncio.get_running_loop()
        waiting = sum(other.key == jobs[0].key for other in self._waiting)
        orders = [job.order(self._clock) for job in jobs]
        running = loop.run_in_executor(self._thread, self._engine.render, orders, waiting)
        self._look_ahead()
        return await running

    def _look_ahead(self) -> None:
        following = ahead([j.waiting() for j in self._waiting], self._turn)
        if following is not None and (self._looking is None or self._looking.done()):
            adapters = [use.adapter for use in self._waiting[following].wish.stack]
            self._looking = self._ahead_thread.submit(self._engine.look_ahead, adapters)

    def _finish(self, job: Job, result: Result, started_s: float) -> None:
        if isinstance(result, RuntimeFailure):
            _refuse(job, self._typed(result, job))
            return
        outcome = Outcome(result, started_s - job.arrived_s)
        self._on_rendered(outcome)
        if not job.result.done():
            job.result.set_result(outcome)

    @staticmethod
    def _defect(error: Exception) -> RequestError:
        log.exception("rendering failed", exc_info=error)
        message = f"the engine failed with {type(error).__name__}; the base and other requests go on"
        return RequestError(ErrorCode.INTERNAL, message, retryable=True)

    def _typed(self, error: RuntimeFailure, job: Job) -> RequestError:
        match error:
            case RequestError():
                return error
            case Stopped():
                return self._too_late()
            case AdapterError():
                keys = ", ".join(use.key for use in job.wish.stack)
                message = f"adapter {keys}: {error.message}"
                return RequestError(ErrorCode.ADAPTER_FAILED, message, reason=error.reason, retryable=error.transient)
            case RecipeError():
                return RequestError(ErrorCode.INVALID_REQUEST, str(error))
            case OutOfDeviceMemory():
                return RequestError(ErrorCode.OUT_OF_MEMORY, str(error))
            case _:
                return self._defect(error)

    def _too_late(self) -> RequestError:
        return RequestError(ErrorCode.TIMEOUT, f"no image within {self._timeout_s:g} s")


def _switch_s(result: Result) -> float:
    """What it took to put the request's adapters in force."""
    return 0.0 if isinstance(result, RuntimeFailure) else result.load_s + result.switch_s


def _refuse(job: Job, error: RequestError) -> None:
    if not job.result.done():
        job.result.set_exception(error)
