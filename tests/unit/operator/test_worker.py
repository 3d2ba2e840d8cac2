"""When a pool gets a pass."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from tests import make
from tests.unit.operator.context import Bench

from lorapool_operator.reconcile.context import Context
from lorapool_operator.reconcile.reconciler import PassResult
from lorapool_operator.reconcile.worker import Pace, Worker

QUICK = Pace(coalesce_s=0.0, recheck_s=3600.0, first_retry_s=3600.0, most_retry_s=3600.0)


class Scripted:
    """Passes whose outcomes a test sets; the last one is repeated."""

    def __init__(self, *outcomes: PassResult | Exception) -> None:
        self.outcomes = list(outcomes) or [PassResult()]
        self.passes = 0
        self.refreshes = 0
        self.closed = False

    async def run(self) -> PassResult:
        self.passes += 1
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def refresh(self) -> None:
        self.refreshes += 1

    def close(self) -> None:
        self.closed = True


async def until(holds: Callable[[], bool], timeout_s: float = 20.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not holds():  # noqa: ASYNC110 -- what is waited for has no event
            await asyncio.sleep(0.001)


@asynccontextmanager
async def working(passes: Scripted, pace: Pace = QUICK, bench: Bench | None = None) -> AsyncIterator[Worker]:
    it = bench or Bench()
    it.put(make.pool())

    def make_passes(key: str, context: Context, wake: Callable[[], None]) -> Scripted:
        return passes

    worker = Worker("default/shapes", it.context, pace, make_passes)
    running = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize("outcome", [PassResult(failures=1, again_s=3600.0), RuntimeError("broken")])
async def test_an_event_is_heard_while_a_failure_waits(outcome: PassResult | Exception) -> None:
    passes = Scripted(outcome)
    async with working(passes) as worker:
        for number in range(1, 6):
            await until(lambda wanted=number: passes.passes == wanted)  # type: ignore[misc]
            worker.wake()
        await until(lambda: passes.passes == 6)


async def test_a_failure_is_tried_again_although_nothing_happens() -> None:
    passes = Scripted(PassResult(failures=1, again_s=0.01), PassResult())
    async with working(passes):
        await until(lambda: passes.passes == 2)


async def test_a_pass_that_breaks_is_tried_again_although_nothing_happens() -> None:
    passes = Scripted(RuntimeError("broken"), PassResult())
    async with working(passes, Pace(coalesce_s=0.0, recheck_s=3600.0, first_retry_s=0.01, most_retry_s=0.02)):
        await until(lambda: passes.passes == 2)


async def test_everything_is_looked_at_anew_now_and_then() -> None:
    passes = Scripted()
    bench = Bench()
    bench_time = time.monotonic
    object.__setattr__(bench.context, "clock", bench_time)
    async with working(passes, Pace(coalesce_s=0.0, recheck_s=0.01), bench):
        await until(lambda: passes.refreshes >= 2)
    assert passes.passes >= passes.refreshes


async def test_a_pool_that_is_woken_all_the_time_is_looked_at_anew_too() -> None:
    passes, bench = Scripted(PassResult(failures=1, again_s=3600.0)), Bench()
    async with working(passes, bench=bench) as worker:
        await until(lambda: passes.passes == 1)
        bench.clock.s += 3600.0 * 1.3
        worker.wake()
        await until(lambda: passes.refreshes == 1)


async def test_what_comes_together_makes_one_pass() -> None:
    passes = Scripted()
    async with working(passes, Pace(coalesce_s=0.01, recheck_s=3600.0)) as worker:
        await until(lambda: passes.passes == 1)
        for _ in range(10):
            worker.wake()
        await until(lambda: passes.passes == 2)
        worker.wake()
        await until(lambda: passes.passes == 3)


async def test_a_worker_ends_when_nobody_names_its_pool_any_more() -> None:
    passes, bench = Scripted(), Bench()
    async with working(passes, bench=bench) as worker:
        await until(lambda: passes.passes == 1)
        pool = make.pool()
        bench.cache.pools.remove(pool.key, pool)
        worker.wake()
        await until(lambda: passes.closed)
