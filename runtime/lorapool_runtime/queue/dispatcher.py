"""The one queue in front of the one engine thread."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import replace

import structlog

from lorapool_api.wire.reply import ErrorCode
from lorapool_runtime.engine.contract import Engine, Result
from lorapool_runtime.errors import RequestError, RuntimeFailure
from lorapool_runtime.queue import answers
from lorapool_runtime.queue.entry import Job, Outcome, Wish
from lorapool_runtime.queue.policy import USUAL, Rules, Turn, Waiting, choose, companions, following
from lorapool_runtime.queue.prefetch import Identities, Load, Memory, Nearby
from lorapool_runtime.queue.work import Clock, Seat, Work

log = structlog.get_logger(__name__)


class Dispatcher:
    """Lives on the event loop; the engine works on `thread`, one forward at a time.

    A request waits with its files; the weights of those that come next are brought to host memory before their turn,
    and nearer to the device on `ahead_thread` while others are made.
    """

    def __init__(
        self,
        engine: Engine,
        thread: Executor,
        ahead_thread: Executor,
        memory: Memory,
        load: Load,
        max_pending: int,
        timeout_s: float,
        on_rendered: Callable[[Outcome], None] = lambda _: None,
        on_lost: Callable[[str], None] = lambda _: None,
        rules: Rules = USUAL,
        clock: Clock = time.monotonic,
    ) -> None:
        """`on_lost` is told why this process can make no image any more."""
        self._engine = engine
        self._work = Work(engine, thread, self._lost, clock)
        self._ahead_thread = ahead_thread
        self._near = Nearby(memory, load, self._moved, self._failed)
        self._max_pending = max_pending
        self._timeout_s = timeout_s
        self._on_rendered = on_rendered
        self._on_lost = on_lost
        self._rules = rules
        self._clock = clock
        self._waiting: list[Job] = []
        self._turn = Turn((), clock())
        self._running: Sequence[Job] = ()
        self._looking: asyncio.Future[None] | None = None
        self._looked_at: Identities = ()
        self._closed: str | None = None
        self._is_lost = False
        self._changed = asyncio.Event()
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

    @property
    def overdue_s(self) -> float:
        """For how long the engine has been working on what nobody waits for any more."""
        return self._work.overdue_s

    def check_room(self) -> None:
        """Raises: RequestError when a request would not be taken now."""
        if self._closed is not None:
            raise answers.away(self._closed)
        if len(self._waiting) >= self._max_pending:
            message = f"{len(self._waiting)} requests are waiting in this pod, it takes no more"
            raise RequestError(ErrorCode.TOO_MANY_PENDING, message, retryable=True)

    async def render(self, wish: Wish) -> Outcome:
        """Wait for the turn, and for the images. Cancelling it gives the request up, also while it runs.

        Raises:
            RequestError: no room, stopping, too late, or what is wrong with the request's adapters.
        """
        self.check_room()
        now = self._clock()
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        job = Job(wish, now, now + self._timeout_s, future)
        self._waiting.append(job)
        self._moved()
        try:
            async with asyncio.timeout(self._timeout_s):
                return await future
        except TimeoutError as error:
            raise answers.too_late(self._timeout_s) from error
        finally:
            job.abandoned.set()
            if job in self._waiting:
                self._waiting.remove(job)
                self._moved()

    async def run(self) -> None:
        """Serve for ever, until cancelled. What it raises is a defect of the queue; nothing is served after that."""
        try:
            while True:
                while not (seats := self._take_next() if self._waiting else []):
                    self._changed.clear()
                    await self._changed.wait()
                await self._serve(seats)
        except Exception:
            self._close("this pod's queue has failed", (*self._running, *self._waiting))
            raise
        finally:
            await self._near.close()

    async def stop(self, grace_s: float) -> None:
        """Take no more, send those who wait elsewhere, and let what runs finish within the grace period."""
        if self._is_lost:
            return  # what runs never ends
        self._close("this pod is stopping", self._waiting)
        try:
            async with asyncio.timeout(grace_s):
                await self._idle.wait()
        except TimeoutError:
            log.warning("giving up what still runs: the grace period is over", grace_s=grace_s)
            self._close("this pod is stopping", self._running)

    def lose(self, message: str) -> None:
        """No image is made here any more: whoever waits for one is sent elsewhere, now."""
        self._is_lost = True
        self._close(message, (*self._running, *self._waiting))

    def _lost(self, message: str) -> None:
        self.lose(message)
        self._on_lost(message)

    def _close(self, message: str, jobs: Iterable[Job]) -> None:
        self._closed = self._closed or message
        for job in tuple(jobs):
            answers.refuse(job, answers.away(message))
            job.abandoned.set()
        self._waiting = [job for job in self._waiting if not job.result.done()]

    # ---- who comes next ----------------------------------------------------------------------------------------

    def _take_next(self) -> list[Seat]:
        """Those that share the next forward; none while nobody waits, or the weights of all are still on their way."""
        waiting = [job for job in self._waiting if not job.result.done()]
        if not waiting:
            return []
        first = choose([job.waiting(mixes=False) for job in waiting], self._turn, self._clock(), self._rules)
        self._near.want([waiting[first], *self._following(waiting)], must=True)
        able = [job for job in waiting if self._near.has(job)]
        if not able:
            return []
        rows = [job.waiting(mixes=False) for job in able]
        first = choose(rows, self._turn, self._clock(), self._rules)
        taken = self._together(able, rows, first)
        self._waiting = [job for job in self._waiting if job not in taken]
        if rows[first].stack != self._turn.stack:
            self._turn = Turn(rows[first].stack, self._clock())
        return [Seat(job, self._near.take(job)) for job in taken]

    def _together(self, able: Sequence[Job], rows: Sequence[Waiting], first: int) -> list[Job]:
        """The requests that share a forward with that one. One that the engine has no word on goes alone."""
        try:
            most = self._engine.batch(able[first].wish.recipe)
            if most > 1:
                rows = [job.waiting(mixes=self._mixes(job)) for job in able]
            return [able[i] for i in companions(rows, first, most)]
        except Exception:
            log.exception("the engine cannot tell what shares a forward; one request goes alone")
            return [able[first]]

    def _mixes(self, job: Job) -> bool:
        uses = self._near.take(job)
        try:
            return all(self._engine.mixes(use.adapter) for use in uses)
        finally:
            self._near.give_back(uses)

    def _following(self, waiting: Sequence[Job]) -> list[Job]:
        rows = [job.waiting(mixes=False) for job in waiting]
        return [waiting[i] for i in following(rows, self._turn)]

    def _moved(self) -> None:
        """Somebody came or went, or weights have come."""
        self._changed.set()
        if self._running:
            self._look_ahead()

    def _look_ahead(self) -> None:
        """Bring what will be wanted nearer: files to host memory, and the first other stack to the device."""
        jobs = self._following([job for job in self._waiting if not job.result.done()])
        self._near.want(jobs, must=False)
        other = next((job for job in jobs if job.key != self._turn.stack), None)
        if other is None or not other.identities or not self._near.has(other):
            return
        if other.identities != self._looked_at and self._looking is None:
            self._looked_at = other.identities
            self._looking = asyncio.ensure_future(self._look(other))

    async def _look(self, job: Job) -> None:
        uses = self._near.take(job)
        adapters = [use.adapter for use in uses]
        try:
            await asyncio.get_running_loop().run_in_executor(self._ahead_thread, self._engine.look_ahead, adapters)
        except Exception:
            log.exception("looking ahead failed")
        finally:
            self._near.give_back(uses)
            self._looking = None
            self._moved()  # another may be the next one by now

    def _failed(self, identities: Identities, error: RequestError) -> None:
        for job in self._waiting:
            if job.identities == identities:
                answers.refuse(job, error)

    # ---- on the engine -----------------------------------------------------------------------------------------

    async def _serve(self, seats: Sequence[Seat]) -> None:
        try:
            wanted = [seat for seat in seats if not seat.job.is_over(self._clock)]
            if wanted:
                await self._run(wanted)
        finally:
            for seat in seats:
                self._near.give_back(seat.uses)

    async def _run(self, seats: Sequence[Seat]) -> None:
        started_s = self._clock()
        self._running = [seat.job for seat in seats]
        self._looked_at = ()
        self._idle.clear()
        try:
            waiting = sum(other.key == seats[0].job.key for other in self._waiting)
            making = asyncio.ensure_future(self._work.made(seats, waiting))
            self._look_ahead()
            results = await making
            self._turn = replace(self._turn, switch_s=max(self._turn.switch_s, *map(_switch_s, results)))
            for seat, result in zip(seats, results, strict=True):
                self._finish(seat.job, result, started_s)
            await self._work.check_if_doubtful()
        except Exception as error:  # noqa: BLE001 -- a defect here is these requests' failure, not the queue's end
            for seat in seats:
                answers.refuse(seat.job, answers.defect(error))
        finally:
            self._running = ()
            self._idle.set()

    def _finish(self, job: Job, result: Result, started_s: float) -> None:
        if isinstance(result, RuntimeFailure):
            answers.refuse(job, answers.typed(result, job, self._timeout_s))
            return
        outcome = Outcome(result, started_s - job.arrived_s)
        if not job.result.done():
            job.result.set_result(outcome)
        try:
            self._on_rendered(outcome)
        except Exception:
            log.exception("what follows a picture failed; the picture was made")


def _switch_s(result: Result) -> float:
    """What it took to put the request's adapters in force."""
    return 0.0 if isinstance(result, RuntimeFailure) else result.load_s + result.switch_s
