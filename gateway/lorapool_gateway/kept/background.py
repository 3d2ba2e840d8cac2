"""Requests whose clients do not wait: they ask by an ID how far it is, and for the answer."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import structlog

from lorapool_api.wire.reply import StepReport
from lorapool_common.changes import Changes
from lorapool_gateway.errors import Busy, KeptGone
from lorapool_gateway.kept.answers import DropCause, KeptAnswer, KeptAnswers
from lorapool_gateway.kept.ids import Ids, KeptKind
from lorapool_gateway.metrics import KeptMetrics

log = structlog.get_logger(__name__)

MOST_RUNNING: Final = 512
MOST_RUNNING_OF_ONE: Final = 128
REFUSED: Final = "refused"
_ERROR: Final = 400
_FAILED: Final = 500


class BackgroundState(StrEnum):
    """How far a request is."""

    QUEUED = "queued"  # no step of it is done
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_over(self) -> bool:
        return self not in (BackgroundState.QUEUED, BackgroundState.RUNNING)


@dataclass
class BackgroundRequest:
    """A request in the background. Times are in seconds since 1970.

    Attributes:
        url, custom_id: the path that it is for, and its client's own name for it.
        previews: how many steps shall show something.
        pool: known when its names are.
        step, preview: the last one that is done, and the last picture of what it becomes.
        changes: noted whenever one of these is another.
    """

    id: str
    owner: bytes
    url: str
    custom_id: str | None
    previews: int
    created: float
    state: BackgroundState = BackgroundState.QUEUED
    pool: str | None = None
    step: StepReport | None = None
    preview: StepReport | None = None
    started: float | None = None
    finished: float | None = None
    status: int | None = None
    changes: Changes = field(default_factory=Changes)


class Watching:
    """Takes note of what becomes of a request."""

    def __init__(self, request: BackgroundRequest, clock: Callable[[], float]) -> None:
        self._request = request
        self._clock = clock

    @property
    def previews(self) -> int:
        """How many steps shall show something."""
        return self._request.previews

    def resolved(self, pool: str) -> None:
        """It is for that pool."""
        self._request.pool = pool
        self._request.changes.note()

    def step(self, step: StepReport) -> None:
        """A step of it is done."""
        request = self._request
        if request.state is BackgroundState.QUEUED:
            request.state, request.started = BackgroundState.RUNNING, self._clock()
        request.step = step.model_copy(update={"preview": None})
        request.preview = step if step.preview else request.preview
        request.changes.note()


Run = Callable[[Watching], Coroutine[Any, Any, KeptAnswer]]


class BackgroundRequests:
    """Those that run, and those that are over for no longer than answers are kept."""

    def __init__(
        self,
        ids: Ids,
        answers: KeptAnswers,
        clock: Callable[[], float],
        most: int = MOST_RUNNING,
        most_of_one: int = MOST_RUNNING_OF_ONE,
        metrics: KeptMetrics | None = None,
    ) -> None:
        """
        Args:
            clock: seconds since 1970.
            most, most_of_one: that run, in all and of one owner; as many in all are remembered that are over.
        """
        self._ids = ids
        self._answers = answers
        self._clock = clock
        self._most = most
        self._most_of_one = most_of_one
        self._metrics = metrics or KeptMetrics()
        self._all: dict[str, BackgroundRequest] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def keep_s(self) -> float:
        """How long it is kept after its end."""
        return self._answers.keep_s

    @property
    def running(self) -> int:
        """How many have no answer yet."""
        return sum(not request.state.is_over for request in self._all.values())

    def begin(self, owner: bytes, url: str, custom_id: str | None, previews: int, run: Run) -> BackgroundRequest:
        """Have it run. Raises: Busy, where as many run as may."""
        self._forget()
        running = [request for request in self._all.values() if not request.state.is_over]
        if len(running) >= self._most or sum(r.owner == owner for r in running) >= self._most_of_one:
            self._metrics.ended(REFUSED)
            raise Busy(f"as many requests are in the background as may: {self._most_of_one} for one key")
        id_ = self._ids.new(KeptKind.REQUEST, owner)
        request = BackgroundRequest(id_, owner, url, custom_id, previews, self._clock())
        self._all[id_] = request
        task = asyncio.create_task(self._run(request, run))
        self._tasks[id_] = task
        task.add_done_callback(lambda _: self._ended(request))
        self._metrics.accepted()
        return request

    def get(self, id_: str) -> BackgroundRequest:
        """Raises: KeptGone."""
        self._forget()
        if id_ not in self._all:
            raise KeptGone(KeptKind.REQUEST, id_)
        return self._all[id_]

    def answer(self, request: BackgroundRequest) -> KeptAnswer | None:
        """Its answer; None: it has none yet, or it was ended. Raises: KeptGone, where room was needed."""
        found = self._answers.get(request.id)
        if found is None and request.state.is_over and request.state is not BackgroundState.CANCELLED:
            raise KeptGone(KeptKind.REQUEST, request.id)
        return found

    async def end(self, id_: str) -> BackgroundRequest:
        """End it where it runs, forget it and its answer where it is over. Raises: KeptGone."""
        request = self.get(id_)
        if request.state.is_over:
            self._answers.drop(id_)
            del self._all[id_]
        else:
            task = self._tasks[id_]
            task.cancel()
            await asyncio.wait({task})
        return request

    async def close(self) -> None:
        """End all that run."""
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def place(self, request: BackgroundRequest) -> int | None:
        """Which it is, from 1, of those of its pool here of which no step is done; None: it is none of these."""
        if request.state is not BackgroundState.QUEUED or request.pool is None:
            return None
        waiting = [r for r in self._all.values() if r.pool == request.pool and r.state is BackgroundState.QUEUED]
        return 1 + waiting.index(request)

    async def _run(self, request: BackgroundRequest, run: Run) -> None:
        answer = await run(Watching(request, self._clock))
        is_kept = self._answers.keep(request.id, request.owner, answer)
        request.status = answer.status
        is_good = is_kept and answer.status < _ERROR
        self._over(request, BackgroundState.SUCCEEDED if is_good else BackgroundState.FAILED)

    def _ended(self, request: BackgroundRequest) -> None:
        task = self._tasks.pop(request.id)
        if task.cancelled():
            self._over(request, BackgroundState.CANCELLED)
        elif (error := task.exception()) is not None:
            log.error("a request in the background failed by a defect", id=request.id, error=repr(error))
            request.status = _FAILED
            self._over(request, BackgroundState.FAILED)

    def _over(self, request: BackgroundRequest, state: BackgroundState) -> None:
        request.state, request.finished = state, self._clock()
        self._metrics.ended(state.value)
        request.changes.note()

    def _forget(self) -> None:
        """Those that are over for too long, and the oldest of too many."""
        now = self._clock()
        over = [r for r in self._all.values() if r.finished is not None]
        too_many = len(over) - self._most
        for number, request in enumerate(sorted(over, key=lambda r: r.finished or now)):
            is_old = (request.finished or now) + self.keep_s <= now
            if is_old or number < too_many:
                del self._all[request.id]
                self._answers.drop(request.id, DropCause.EXPIRED if is_old else DropCause.ROOM)
