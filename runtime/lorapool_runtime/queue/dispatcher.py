"""The one queue in front of the one engine thread."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor

import structlog

from lorapool_runtime.adapters.file import AdapterFile, HostAdapter
from lorapool_runtime.engine.contract import RenderRequest
from lorapool_runtime.errors import CannotWake, DeviceLost, Stopped
from lorapool_runtime.queue import answers
from lorapool_runtime.queue.endings import Endings
from lorapool_runtime.queue.engine_thread import Clock, EngineThread
from lorapool_runtime.queue.entry import Outcome, QueueEntry, QueueLoad
from lorapool_runtime.queue.fair.terms import NO_TERMS, QueueTerms
from lorapool_runtime.queue.host_prefetch import LoadWeights, WeightCache
from lorapool_runtime.queue.policy import DEFAULT_RULES, QueueRules
from lorapool_runtime.queue.renderer import GetRenderer
from lorapool_runtime.queue.scheduler import Scheduler
from lorapool_runtime.queue.sleep.sleeper import Sleeper, SleepFigures

log = structlog.get_logger(__name__)


class Dispatcher:
    """Admits requests and answers them. Lives on the event loop; the engine works on `thread`, one forward at a time.

    A request waits with its files; the weights of those that come next are loaded to host memory before their turn,
    and to the device on `prefetch_thread` while others are made. What the engine left unfinished is finished on
    `finish_thread` while it makes the next.
    """

    def __init__(
        self,
        engine: GetRenderer,
        thread: Executor,
        prefetch_thread: Executor,
        finish_thread: Executor,
        cache: WeightCache,
        load: LoadWeights,
        max_pending: int,
        timeout_s: float,
        on_rendered: Callable[[Outcome], None] = lambda _: None,
        on_lost: Callable[[str], None] = lambda _: None,
        on_sleep: Callable[[], None] = lambda: None,
        rules: QueueRules = DEFAULT_RULES,
        clock: Clock = time.monotonic,
        cost_s: Callable[[QueueEntry], float | None] = lambda _: None,
    ) -> None:
        """`cost_s` says how many seconds of work a request is, None before any is measured. `on_lost` is told why this
        process can make no image any more; `on_sleep` is called when the engine has fallen asleep or woken."""
        self._thread = EngineThread(engine, thread, finish_thread, self._lost, clock)
        self._sleeper = Sleeper(self._thread, on_sleep, clock)
        self._scheduler = Scheduler(engine, cache, load, prefetch_thread, rules, clock, cost_s)
        self._endings = Endings(self._thread, self._scheduler, timeout_s, on_rendered, self._rest, clock)
        self._max_pending = max_pending
        self._timeout_s = timeout_s
        self._on_lost = on_lost
        self._clock = clock
        self._running: Sequence[QueueEntry] = ()
        self._running_since_s = clock()
        self._active: tuple[str, ...] = ()
        self._closed: str | None = None
        self._is_lost = False
        self._used_s = clock()
        # What sleeps or wakes is not rendered with: a batch waits for the end of it.
        self._engine_alone = asyncio.Lock()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def pending(self) -> int:
        """Requests that wait."""
        return len(self._scheduler.waiting)

    @property
    def running(self) -> int:
        """Requests that are being made."""
        return len(self._made)

    @property
    def _made(self) -> Sequence[QueueEntry]:
        return [*self._endings.entries, *self._running]

    @property
    def load(self) -> QueueLoad:
        """What waits and what the engine works on."""
        running_s = self._clock() - self._running_since_s if self._running else 0.0
        queue = self._scheduler
        return QueueLoad(queue.waiting, self._running, running_s, self._active, queue.due_before())

    @property
    def busy_s(self) -> float:
        """For how long the engine has been making images so far."""
        return self._endings.busy_s

    @property
    def sleep(self) -> SleepFigures:
        """How the engine has slept."""
        return self._sleeper.figures

    @property
    def is_asleep(self) -> bool:
        return self._sleeper.is_asleep

    @property
    def idle_s(self) -> float:
        """For how long nobody has asked, or waited, for an image; 0 while somebody does."""
        return 0.0 if self._is_wanted() else self._clock() - self._used_s

    @property
    def overdue_s(self) -> float:
        """For how long the engine has been working on what nobody waits for any more."""
        return self._thread.overdue_s

    def check_room(self, elsewhere: int = 0, caller: str = "", own: int = 0) -> QueueEntry | None:
        """Return where a request of the caller would be taken now; what it would displace, None where nothing. So
        many wait elsewhere to be taken, and so many of these are its own. Raises: RequestError."""
        if self._closed is not None:
            raise answers.not_ready(self._closed)
        if (pending := self.pending + elsewhere) < self._max_pending:
            return None
        displaced = self._scheduler.displaced_by(caller, own)
        if displaced is None or elsewhere >= self._max_pending:
            raise answers.full(f"{pending} requests are waiting in this pod, it takes no more")
        return displaced

    def terms(self, caller: str, priority: int, within_s: float | None) -> QueueTerms:
        """The terms of a request that has come now, and is of use for so long."""
        return QueueTerms(caller, priority, None if within_s is None else self._clock() + within_s)

    async def render(self, request: RenderRequest[AdapterFile], terms: QueueTerms = NO_TERMS) -> Outcome:
        """Wait for the turn, and for the images. Cancelling it gives the request up, also while it runs.

        Raises:
            RequestError: no room, stopping, too late, or what is wrong with the request's adapters.
        """
        if (displaced := self.check_room(caller=terms.caller)) is not None:
            answers.refuse(displaced, answers.full("requests of others, who have fewer in this pod, go before it"))
            self._scheduler.remove(displaced)
        now = self._clock()
        timeout_s = self._timeout_s if terms.deadline_s is None else min(self._timeout_s, terms.deadline_s - now)
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        entry = QueueEntry(request, now, now + timeout_s, answer, terms=terms)
        self._scheduler.add(entry)
        try:
            if terms.deadline_s is not None:
                self._scheduler.check_deadline(entry, self.load, timeout_s)
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError as error:
            raise answers.too_late(timeout_s) from error
        finally:
            entry.abandoned.set()
            self._scheduler.remove(entry)

    async def merge_loss(self, adapter: HostAdapter) -> float | None:
        """What `WarmEngine.merge_loss` says, while no request waits or runs. Raises: Stopped, where one does, or the
        engine sleeps."""
        if self._is_wanted() or self.is_asleep:
            raise Stopped
        return await self._thread.merge_loss(adapter, self._is_wanted)

    async def fall_asleep(self) -> None:
        """Let the engine sleep, unless somebody asks for an image before it does. The next request wakes it."""
        async with self._engine_alone:
            if not self._is_wanted():
                await self._sleeper.sleep(self._is_wanted)

    async def wake_up(self) -> None:
        """The engine awake, though nobody has asked. Raises: CannotWake, DeviceLost."""
        async with self._engine_alone:
            await self._sleeper.wake()

    def _is_wanted(self) -> bool:
        """Whether the engine has, or is about to have, something better to do. Any thread."""
        return bool(self._scheduler.waiting or self._running or self._endings.is_any or self._closed is not None)

    async def run(self) -> None:
        """Serve for ever, until cancelled. What it raises is a defect of the queue; nothing is served after that."""
        try:
            while True:
                await self._endings.room()
                batch = await self._scheduler.next()
                try:
                    await self._serve([entry for entry in batch if not entry.is_over(self._clock)])
                finally:
                    self._scheduler.release(batch)
        except Exception:
            self._close("this pod's queue has failed", (*self._made, *self._scheduler.waiting))
            raise
        finally:
            self._endings.cancel()
            await self._scheduler.close()

    async def stop(self, grace_s: float) -> None:
        """Take no more, send those who wait elsewhere, and let what runs finish within the grace period."""
        if self._is_lost:
            return  # what runs never ends
        self._close("this pod is stopping", self._scheduler.waiting)
        try:
            async with asyncio.timeout(grace_s):
                await self._idle.wait()
        except TimeoutError:
            log.warning("giving up what still runs: the grace period is over", grace_s=grace_s)
            self._close("this pod is stopping", self._made)

    def fail(self, message: str) -> None:
        """No image is made here any more: whoever waits for one is sent elsewhere, now."""
        self._is_lost = True
        self._close(message, (*self._made, *self._scheduler.waiting))

    def _lost(self, message: str) -> None:
        self.fail(message)
        self._on_lost(message)

    def _close(self, message: str, entries: Iterable[QueueEntry]) -> None:
        self._closed = self._closed or message
        for entry in tuple(entries):
            answers.refuse(entry, answers.not_ready(message))
            entry.abandoned.set()
        self._scheduler.remove_answered()

    async def _serve(self, batch: Sequence[QueueEntry]) -> None:
        if not batch:
            return
        started_s = self._running_since_s = self._clock()
        self._running, self._active = batch, batch[0].keys
        self._idle.clear()
        try:
            await self.wake_up()
            started_s = self._running_since_s = self._clock()
            results = await self._thread.render(batch, self._scheduler.waiting_for(batch[0].stack_id))
            await self._endings.begin(batch, results, started_s)
        except (CannotWake, DeviceLost) as error:
            for entry in batch:
                answers.refuse(entry, answers.request_error(error, entry, self._timeout_s))
        except Exception as error:  # noqa: BLE001 -- a defect here is these requests' failure, not the queue's end
            for entry in batch:
                answers.refuse(entry, answers.defect(error))
        finally:
            self._used_s = self._endings.count(started_s)
            self._running = ()
            self._rest()

    def _rest(self) -> None:
        if not self._made:
            self._idle.set()
