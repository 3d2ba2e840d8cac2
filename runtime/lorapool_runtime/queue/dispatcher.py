"""The one queue in front of the one engine thread."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Final

import structlog

from lorapool_api.wire import ErrorCode
from lorapool_runtime.engine.contract import Engine, Recipe, Rendering, Use
from lorapool_runtime.errors import AdapterError, RecipeError, RequestError, Stopped
from lorapool_runtime.queue.choice import Stack, choose
from lorapool_runtime.queue.job import Job, Outcome

log = structlog.stdlib.get_logger(__name__)

# How long a request may be overtaken by others for the adapter that is in force.
PATIENCE_S: Final = 10.0

Clock = Callable[[], float]


class Dispatcher:
    """Lives on the event loop; the engine works on `thread`, one request at a time."""

    def __init__(
        self,
        engine: Engine,
        thread: Executor,
        max_pending: int,
        timeout_s: float,
        on_rendered: Callable[[Outcome], None] = lambda _: None,
        patience_s: float = PATIENCE_S,
        clock: Clock = time.monotonic,
    ) -> None:
        self._engine = engine
        self._thread = thread
        self._max_pending = max_pending
        self._timeout_s = timeout_s
        self._on_rendered = on_rendered
        self._patience_s = patience_s
        self._clock = clock
        self._waiting: list[Job] = []
        self._active: Stack = ()
        self._running: Job | None = None
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
        return int(self._running is not None)

    def check_room(self) -> None:
        """Raises: RequestError when a request would not be taken now."""
        if self._stopping:
            raise RequestError(ErrorCode.NOT_READY, "this pod is stopping", retryable=True)
        if len(self._waiting) >= self._max_pending:
            message = f"{len(self._waiting)} requests are waiting in this pod, it takes no more"
            raise RequestError(ErrorCode.TOO_MANY_PENDING, message, retryable=True)

    async def render(self, recipe: Recipe, stack: tuple[Use, ...]) -> Outcome:
        """Wait for the turn, and for the images. Cancelling it gives the request up, also while it runs.

        Raises:
            RequestError: no room, stopping, too late, or what the engine says of the request's adapters.
        """
        self.check_room()
        now = self._clock()
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        job = Job(recipe, stack, now, now + self._timeout_s, future)
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
            await self._serve(self._waiting.pop(self._next()))

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
            if self._running is not None:
                log.warning("giving up what still runs: the grace period is over", grace_s=grace_s)
                _refuse(self._running, RequestError(ErrorCode.NOT_READY, "this pod is stopping", retryable=True))
                self._running.abandoned.set()

    def _next(self) -> int:
        return choose([j.waiting() for j in self._waiting], self._active, self._clock(), self._patience_s)

    async def _serve(self, job: Job) -> None:
        if job.is_over(self._clock):
            return
        started = self._clock()
        self._running = job
        self._idle.clear()
        try:
            outcome = Outcome(await self._on_thread(job), started - job.arrived_s)
            self._active = job.key
            self._on_rendered(outcome)
            if not job.result.done():
                job.result.set_result(outcome)
        except Exception as error:  # noqa: BLE001 -- one request's failure must never end the queue
            _refuse(job, self._typed(error, job))
        finally:
            self._running = None
            self._idle.set()

    async def _on_thread(self, job: Job) -> Rendering:
        loop = asyncio.get_running_loop()
        waiting = sum(other.key == job.key for other in self._waiting)
        return await loop.run_in_executor(
            self._thread, self._engine.render, job.recipe, job.stack, lambda: job.is_over(self._clock), waiting
        )

    def _typed(self, error: Exception, job: Job) -> RequestError:
        match error:
            case Stopped():
                return self._too_late()
            case RecipeError():
                return RequestError(ErrorCode.INVALID_REQUEST, str(error))
            case AdapterError():
                keys = ", ".join(use.key for use in job.stack)
                message = f"adapter {keys}: {error.message}"
                return RequestError(ErrorCode.ADAPTER_FAILED, message, reason=error.reason, retryable=error.transient)
            case _:
                log.exception("rendering failed", exc_info=error)
                message = f"the engine failed with {type(error).__name__}; the base and other requests go on"
                return RequestError(ErrorCode.INTERNAL, message, retryable=True)

    def _too_late(self) -> RequestError:
        return RequestError(ErrorCode.TIMEOUT, f"no image within {self._timeout_s:g} s")


def _refuse(job: Job, error: RequestError) -> None:
    if not job.result.done():
        job.result.set_exception(error)
