"""When a pool gets a pass."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from tests import make
from tests.unit.operator.context import Bench, LoopClock
from tests.virtual_time import elapse, now_s, rest

from lorapool_operator.reconcile.context import Context
from lorapool_operator.reconcile.reconciler import PassResult
from lorapool_operator.reconcile.worker import Pace, Worker, Workers

pytestmark = pytest.mark.virtual_time

COALESCE_S, RECHECK_S = 0.05, 60.0
PACE = Pace(coalesce_s=COALESCE_S, recheck_s=RECHECK_S, jitter=0.0, first_retry_s=5.0, most_retry_s=40.0)


class Scripted:
    """Passes whose outcomes a test sets; the last one is repeated."""

    def __init__(self, *outcomes: PassResult | Exception, takes_s: float = 0.0) -> None:
        self.outcomes = list(outcomes) or [PassResult()]
        self.takes_s = takes_s
        self.began_s: list[float] = []
        self.refreshes = 0
        self.closed = False

    async def run(self, has_news: Callable[[], bool]) -> PassResult:
        self.began_s.append(now_s())
        await asyncio.sleep(self.takes_s)
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def refresh(self) -> None:
        self.refreshes += 1

    def close(self) -> None:
        self.closed = True


def factory(passes: Scripted) -> Callable[[str, Context, Callable[[], None]], Scripted]:
    return lambda key, context, wake: passes


@pytest.fixture
async def bench() -> Bench:
    it = Bench(clock=LoopClock())
    it.put(make.pool())
    return it


@asynccontextmanager
async def working(passes: Scripted, bench: Bench) -> AsyncIterator[Worker]:
    """A worker after its first pass."""
    worker = Worker("default/shapes", bench.context, PACE, factory(passes))
    running = asyncio.create_task(worker.run())
    try:
        await elapse(COALESCE_S)
        yield worker
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def stream(worker: Worker, for_s: float, gap_s: float = 0.01) -> None:
    """A change each hundredth of a second."""
    for _ in range(round(for_s / gap_s)):
        worker.wake()
        await elapse(gap_s)


@pytest.mark.parametrize("outcome", [PassResult(failures=1, again_s=30.0), RuntimeError("broken")])
async def test_an_event_is_heard_while_a_failure_waits(bench: Bench, outcome: PassResult | Exception) -> None:
    passes = Scripted(outcome)
    async with working(passes, bench) as worker:
        for number in range(1, PACE.quick):
            assert len(passes.began_s) == number
            worker.wake()
            await elapse(COALESCE_S)


async def test_what_comes_without_end_makes_few_passes_and_what_comes_after_a_rest_is_done_at_once(
    bench: Bench,
) -> None:
    passes = Scripted(PassResult())
    async with working(passes, bench) as worker:
        await stream(worker, 10.0)
        assert len(passes.began_s) == pytest.approx(PACE.quick + 10.0 / PACE.gather_s, abs=1)
        await elapse(PACE.quick * PACE.sustained_s + 1.0)
        before = len(passes.began_s)
        worker.wake()
        await elapse(COALESCE_S)
        assert len(passes.began_s) == before + 1


async def test_a_pass_follows_the_last_change_of_a_stream_at_once(bench: Bench) -> None:
    passes = Scripted(PassResult())
    async with working(passes, bench) as worker:
        await stream(worker, 10.0)
        while passes.began_s[-1] + PACE.sustained_s > now_s():
            await stream(worker, 0.1)
        ended, before = now_s() - 0.01, len(passes.began_s)
        await elapse(PACE.gather_s)
        assert passes.began_s[before] - ended <= PACE.pause_s + 0.001
        assert len(passes.began_s) == before + 1


async def test_what_a_pass_took_is_no_more_waited_for_while_a_stream_goes_on(bench: Bench) -> None:
    """While a pass waits nothing is written, and what comes meanwhile makes the next ones longer."""
    takes_s = PACE.sustained_s - 2 * COALESCE_S
    passes = Scripted(PassResult(), takes_s=takes_s)
    async with working(passes, bench) as worker:
        await stream(worker, 20.0)
    waits = [later - before - takes_s for before, later in itertools.pairwise(passes.began_s)]
    assert len(waits) > 30
    assert max(waits) == pytest.approx(PACE.gather_s - takes_s, abs=0.01)


async def test_a_stream_that_comes_slowly_makes_no_more_passes(bench: Bench) -> None:
    passes = Scripted(PassResult())
    async with working(passes, bench) as worker:
        await stream(worker, 10.0, gap_s=0.12)
        assert 10.0 < len(passes.began_s) <= PACE.quick + 10.0 / PACE.gather_s
        ended = now_s() - 0.12
        await elapse(PACE.gather_s)
        assert 0.0 <= passes.began_s[-1] - ended <= PACE.most_pause_s


async def test_what_pods_answer_during_a_stream_holds_up_no_pass(bench: Bench) -> None:
    passes, wakes = Scripted(PassResult()), list[Callable[[], None]]()

    def make_passes(key: str, context: Context, wake: Callable[[], None]) -> Scripted:
        wakes.append(wake)
        return passes

    running = asyncio.create_task(Worker("default/shapes", bench.context, PACE, make_passes).run())
    await rest()
    for _ in range(1000):
        wakes[0]()
        await elapse(0.01)
    running.cancel()
    assert len(passes.began_s) == pytest.approx(PACE.quick + 10.0 / PACE.sustained_s, abs=1)


async def test_a_failure_is_tried_again_although_nothing_happens(bench: Bench) -> None:
    passes = Scripted(PassResult(failures=1, again_s=7.0), PassResult())
    async with working(passes, bench):
        await elapse(7.0)
        assert passes.began_s[1] - passes.began_s[0] == pytest.approx(7.0)


async def test_a_pass_that_breaks_is_tried_again_after_growing_pauses(bench: Bench) -> None:
    passes = Scripted(*(RuntimeError("broken") for _ in range(3)), PassResult())
    async with working(passes, bench):
        await elapse(50.0)
        first, second, third, fourth = passes.began_s
        assert 4.0 <= second - first <= 6.0
        assert 8.0 <= third - second <= 12.0
        assert 16.0 <= fourth - third <= 24.0


async def test_everything_is_applied_anew_now_and_then(bench: Bench) -> None:
    passes = Scripted()
    async with working(passes, bench):
        await elapse(10 * RECHECK_S)
    assert passes.refreshes == 10
    assert len(passes.began_s) == 11


async def test_for_a_pool_that_is_woken_all_the_time_everything_is_applied_anew_too(bench: Bench) -> None:
    passes = Scripted()
    async with working(passes, bench) as worker:
        for _ in range(100):
            worker.wake()
            await elapse(1.0)
    assert passes.refreshes == 1


async def test_what_comes_together_makes_one_pass(bench: Bench) -> None:
    passes = Scripted()
    async with working(passes, bench) as worker:
        for _ in range(10):
            worker.wake()
            await elapse(COALESCE_S / 100)
        await elapse(COALESCE_S)
        assert len(passes.began_s) == 2


async def test_what_comes_during_a_pass_makes_another(bench: Bench) -> None:
    passes = Scripted()
    async with working(passes, bench) as worker:
        run = passes.run

        async def run_and_wake(has_news: Callable[[], bool]) -> PassResult:
            passes.run = run  # type: ignore[method-assign]
            assert not has_news()
            worker.wake()
            assert has_news()
            return await run(has_news)

        passes.run = run_and_wake  # type: ignore[method-assign]
        worker.wake()
        await elapse(3 * COALESCE_S)
        assert len(passes.began_s) == 3


async def test_a_worker_ends_when_nobody_names_its_pool_any_more(bench: Bench) -> None:
    passes = Scripted()
    async with working(passes, bench) as worker:
        pool = make.pool()
        bench.cache.pools.remove(pool.key, pool)
        worker.wake()
        await elapse(COALESCE_S)
        assert passes.closed


async def test_a_pool_has_one_worker_and_a_new_one_when_it_comes_back(bench: Bench) -> None:
    made: list[Scripted] = []

    def make_passes(key: str, context: Context, wake: Callable[[], None]) -> Scripted:
        made.append(Scripted())
        return made[-1]

    workers, pool = Workers(bench.context, PACE, make_passes), make.pool()
    for _ in range(3):
        workers.wake(pool.key)
    await elapse(COALESCE_S)
    assert [len(passes.began_s) for passes in made] == [1]

    bench.cache.pools.remove(pool.key, pool)
    workers.wake(pool.key)
    await elapse(COALESCE_S)
    assert made[0].closed

    bench.put(make.pool(age_s=1))
    workers.wake(pool.key)
    await elapse(COALESCE_S)
    assert len(made) == 2
    await workers.stop()
    assert made[1].closed


async def test_nothing_runs_after_workers_were_stopped(bench: Bench) -> None:
    passes = Scripted(PassResult(again_s=1.0))
    workers = Workers(bench.context, PACE, factory(passes))
    workers.wake("default/shapes")
    await elapse(5.0)
    await workers.stop()
    ran = len(passes.began_s)
    await elapse(100.0)
    await rest()
    assert len(passes.began_s) == ran
