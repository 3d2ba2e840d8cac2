"""The status of a pod as it changes, for gateways: see `lorapool_api.wire.gateways.stream`."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import islice
from typing import Final, Protocol

from fastapi import Response
from fastapi.responses import StreamingResponse

from lorapool_api.wire.gateways.stream import LIFETIME_S, MEDIA_TYPE, MOST_STREAMS, SLICE, TICK_S
from lorapool_api.wire.state import Backlog, ServingStatus
from lorapool_common.changes import Changes

# A request that has come begins within a moment, and others may come with it: they are told together.
SETTLE_S: Final = 0.001
# The end of a pod's work as it expects it moves so far before it is said again.
_MOVED_S: Final = 0.05
_SAME: Final = frozenset({"ready", "pending", "running", "asleep", "max_pending", "digest"})
Clock = Callable[[], float]


class SaysStatus(Protocol):
    """A runtime, as far as its status goes. `queued` tells of each request that comes."""

    @property
    def queued(self) -> Changes: ...
    @property
    def is_over(self) -> bool: ...
    def status(self, since: int | None = None) -> ServingStatus: ...


class StatusStreams:
    """The streams of one pod, bounded in number. Lives on the event loop.

    All look at the same moments, so that what changed since a version is found out once for all of them: at each tick,
    and where the last one brought nothing as soon as a request comes. Else several gateways, none of which knows of the
    others' requests, would send the next ones to the same pod within a tick.
    """

    def __init__(
        self, runtime: SaysStatus, clock: Clock, tick_s: float = TICK_S, lifetime_s: float = LIFETIME_S
    ) -> None:
        self._runtime = runtime
        self._clock = clock
        self._tick_s = tick_s
        self._lifetime_s = lifetime_s
        self._open = 0
        self._last: tuple[tuple[int, int, int], ServingStatus] | None = None

    def answer(self, accept: str, since: int | None) -> Response:
        """The status, and what becomes of it where that is asked for and there is room."""
        if accept.split(",")[0].strip() == MEDIA_TYPE and self._open < MOST_STREAMS:
            return StreamingResponse(self._lines(since), media_type=MEDIA_TYPE, headers={"cache-control": "no-store"})
        return Response(self._runtime.status(since).model_dump_json(), media_type="application/json")

    async def _lines(self, since: int | None) -> AsyncIterator[bytes]:
        self._open += 1
        try:
            ends_s = self._clock() + self._lifetime_s
            queued, is_rested, tick = self._runtime.queued.version, True, self._tick
            last, said_s = self._runtime.status(since), self._clock()
            for line in sliced(last):
                yield line
            while not self._runtime.is_over and self._clock() < ends_s:
                due = max(tick + 1, self._tick)
                is_early = is_rested and await self._is_queued(queued, due)
                if not is_early:
                    tick = due
                    await asyncio.sleep(max(0.0, tick * self._tick_s - self._clock()))
                queued = self._runtime.queued.version
                status, now_s = self._at(tick, queued, last.version), self._clock()
                if is_same(last, status, now_s - said_s):
                    last = last.model_copy(update={"version": status.version})
                    if not is_early:
                        is_rested = True
                        yield b"\n"
                    continue
                for line in sliced(_news(status, last)):
                    yield line
                last, said_s, is_rested = status, now_s, False
        finally:
            self._open -= 1

    async def _is_queued(self, seen: int, tick: int) -> bool:
        """Return when a request has come beyond those that were seen, and has settled, or at that tick: False."""
        await self._runtime.queued.beyond(seen, max(0.0, tick * self._tick_s - self._clock()))
        if self._runtime.queued.version == seen:
            return False
        await asyncio.sleep(SETTLE_S)
        return True

    @property
    def _tick(self) -> int:
        """The last one that was."""
        return math.floor(self._clock() / self._tick_s)

    def _at(self, tick: int, queued: int, since: int) -> ServingStatus:
        """What changed since a version, as it was when the first stream looked at that moment."""
        moment = (tick, queued, since)
        if self._last is None or self._last[0] != moment:
            self._last = moment, self._runtime.status(since)
        return self._last[1]


def is_same(last: ServingStatus, status: ServingStatus, elapsed_s: float) -> bool:
    """Whether somebody who knows the last status, and the time since, knows this one."""
    if status.tiers or status.gone or status.complete or status.costs is not last.costs:
        return False
    if any(getattr(last, name) != getattr(status, name) for name in _SAME):
        return False
    return _goes_on(last.backlog, status.backlog, elapsed_s)


def _goes_on(before: Backlog | None, now: Backlog | None, elapsed_s: float) -> bool:
    """Whether the work is less by the time that has passed."""
    if before is None or now is None:
        return before is now
    return before.active == now.active and abs(max(0.0, before.work_s - elapsed_s) - now.work_s) <= _MOVED_S


def _news(status: ServingStatus, last: ServingStatus) -> ServingStatus:
    """Without the costs where they are known."""
    is_known = status.costs is last.costs and not status.complete
    return status.model_copy(update={"costs": None}) if is_known else status


def sliced(status: ServingStatus) -> Iterator[bytes]:
    """The lines of a status. What is not complete is added to what came before it."""
    tiers = iter(status.tiers.items())
    part = dict(islice(tiers, SLICE))
    while following := dict(islice(tiers, SLICE)):
        yield _line(status.model_copy(update={"tiers": part, "more": True}))
        status = status.model_copy(update={"complete": False, "gone": ()})
        part = following
    yield _line(status.model_copy(update={"tiers": part}))


def _line(status: ServingStatus) -> bytes:
    return status.model_dump_json().encode() + b"\n"
