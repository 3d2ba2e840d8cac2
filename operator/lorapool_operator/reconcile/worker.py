"""One worker per pool: a pass whenever something happened, and now and then when nothing did."""

import asyncio
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from lorapool_api.kinds.adapter import NO_POOL
from lorapool_common.backoff import Backoff
from lorapool_operator.reconcile.context import Context
from lorapool_operator.reconcile.no_pool import NoPoolReconciler
from lorapool_operator.reconcile.reconciler import PassResult, Reconciler

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Pace:
    """How often passes run, in seconds.

    Attributes:
        coalesce_s: what happens within it makes one pass.
        quick: passes that may follow each other at that pace; after them one each `sustained_s`, until there was rest:
            what happens alone is done at once, and what comes without end makes few passes.
        gather_s: where those are used up, how long after the last one began a pass may wait for a stream of changes to
            pause: each pass asks all pods, so thousands of adapters that are applied one after the other make few
            passes, and the last ones wait no longer for it. After a pass that took so long there is no wait: what came
            meanwhile would only grow while nothing is written.
        pause_s: without a change it is one; where changes come more slowly, `pause_gaps` times the time between two of
            them lately, up to `most_pause_s`: an API server that is busy lets them come by fits and starts.
        recheck_s: when everything is applied anew although nothing happened.
        jitter: how far that may be from its length, as a fraction of it.
        first_retry_s: after a pass that broke; doubles up to `most_retry_s`.
    """

    coalesce_s: float = 0.05
    quick: int = 4
    sustained_s: float = 0.35
    gather_s: float = 0.5
    pause_s: float = 0.1
    most_pause_s: float = 0.4
    pause_gaps: float = 3.0
    recheck_s: float = 60.0
    jitter: float = 0.2
    first_retry_s: float = 0.5
    most_retry_s: float = 30.0


PACE: Final = Pace()
# Changes that the usual time between two is taken of.
_GAPS_REMEMBERED: Final = 8


class Passes(Protocol):
    """The passes over one pool."""

    async def run(self, has_news: Callable[[], bool]) -> PassResult: ...

    def refresh(self) -> None: ...

    def close(self) -> None: ...


MakePasses = Callable[[str, Context, Callable[[], None]], Passes]


def passes_over(key: str, context: Context, wake: Callable[[], None]) -> Passes:
    """The passes over that pool, or over what belongs to none."""
    return (NoPoolReconciler if key == NO_POOL else Reconciler)(key, context, wake)


class Worker:
    """Runs the passes of one pool, also of one that adapters name but nobody made.

    A wait never makes it deaf: whatever wakes it has its pass at once, also while something that failed is left alone.
    """

    def __init__(self, key: str, context: Context, pace: Pace = PACE, make: MakePasses = passes_over) -> None:
        self._key = key
        self._ctx = context
        self._pace = pace
        self._woken = asyncio.Event()
        self._backoff = Backoff(pace.first_retry_s, pace.most_retry_s)
        self._passes = make(key, context, self._woken.set)
        self._changed_at = -math.inf
        self._gap_s = 0.0
        self._has_news = False
        self._refresh_at = 0.0
        self._pass_at = -math.inf
        self._paid_until_s = -math.inf

    def wake(self) -> None:
        """Have a pass soon, for a change in the cluster. Any number of calls before it make one pass.

        What its pods answer is no such change: the next pass does not wait for an end of that.
        """
        now = self._ctx.clock()
        gap_s = min(now - self._changed_at, self._pace.most_pause_s)
        self._gap_s += (gap_s - self._gap_s) / _GAPS_REMEMBERED
        self._changed_at = now
        self._has_news = True
        self._woken.set()

    async def run(self) -> None:
        """Passes until nobody names the pool any more."""
        self.wake()
        self._plan_refresh()
        again_s: float | None = None
        try:
            while True:
                await self._wait(math.inf if again_s is None else again_s)
                again_s = await self._pass()
                if again_s is None and self._key not in self._ctx.cache.known_pools():
                    return
        finally:
            self._passes.close()

    async def _wait(self, at_most_s: float) -> None:
        """Return when something happened, when that time is over, or when it is time to apply everything anew."""
        wait_s = max(0.0, min(at_most_s, self._refresh_at - self._ctx.clock()))
        try:
            async with asyncio.timeout(wait_s):
                await self._woken.wait()
        except TimeoutError:
            pass
        else:
            await self._gather()
        self._woken.clear()
        if self._ctx.clock() >= self._refresh_at:
            self._passes.refresh()
            self._plan_refresh()

    async def _gather(self) -> None:
        """Let come what belongs to the next pass: for a moment, or where passes are used up until a stream pauses."""
        pace, clock, began = self._pace, self._ctx.clock, self._ctx.clock()
        in_hand_s = (pace.quick - 1) * pace.sustained_s
        owed_s = self._paid_until_s - in_hand_s - began
        await asyncio.sleep(max(pace.coalesce_s, owed_s))
        if owed_s <= pace.coalesce_s:
            return
        most_at = self._pass_at + pace.gather_s
        while (left_s := min(self._pauses_at, most_at) - clock()) > 0:  # noqa: ASYNC110 -- a time
            await asyncio.sleep(left_s)
        if self._pauses_at > clock():
            self._paid_until_s = clock() + in_hand_s  # a stream is no rest: it saves up no quick passes

    @property
    def _pauses_at(self) -> float:
        """When a stream has paused, if nothing more comes."""
        pace = self._pace
        return self._changed_at + min(max(pace.pause_s, pace.pause_gaps * self._gap_s), pace.most_pause_s)

    def _plan_refresh(self) -> None:
        jitter = random.uniform(-self._pace.jitter, self._pace.jitter)  # noqa: S311 -- not for secrets
        self._refresh_at = self._ctx.clock() + self._pace.recheck_s * (1.0 + jitter)

    async def _pass(self) -> float | None:
        """Run one; seconds until the next is wanted, None where all was done."""
        began = self._pass_at = self._ctx.clock()
        self._has_news = False
        self._paid_until_s = max(self._paid_until_s, began) + self._pace.sustained_s
        try:
            done = await self._passes.run(lambda: self._has_news)
        except Exception:  # whatever goes wrong with a pass must not end its worker
            log.exception("a pass failed", pool=self._key)
            done = PassResult(failures=1, again_s=self._backoff.next())
        else:
            self._backoff.reset()
        self._ctx.metrics.pass_seconds.observe(self._ctx.clock() - began)
        self._ctx.metrics.passes.labels("failed" if done.failures else "ok").inc()
        return done.again_s


class Workers:
    """The workers of all pools; exists while this replica leads."""

    def __init__(self, context: Context, pace: Pace = PACE, make: MakePasses = passes_over) -> None:
        self._ctx = context
        self._pace = pace
        self._make = make
        self._running: dict[str, tuple[Worker, asyncio.Task[None]]] = {}

    def wake(self, key: str) -> None:
        """Have a pass over the pool soon, by a new worker if it has none."""
        if key not in self._running:
            worker = Worker(key, self._ctx, self._pace, self._make)
            task = asyncio.create_task(worker.run(), name=f"pool {key}")
            self._running[key] = (worker, task)
            task.add_done_callback(lambda _: self._ended(key, worker))
        self._running[key][0].wake()

    def _ended(self, key: str, worker: Worker) -> None:
        running = self._running.get(key)
        if running is not None and running[0] is worker:
            del self._running[key]
            if not running[1].cancelled() and key in self._ctx.cache.known_pools():
                self.wake(key)  # somebody named the pool in the worker's last moment

    async def stop(self) -> None:
        """End all at once: nothing is written after this returns."""
        tasks = [task for _, task in self._running.values()]
        self._running.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
