"""Writes that take long, and something new that comes meanwhile."""

import asyncio

import pytest
from tests import make
from tests.unit.operator import make as made
from tests.unit.operator.context import LoopClock
from tests.unit.operator.fake_pods import FakePod
from tests.unit.operator.reconcile.operating import Operating
from tests.virtual_time import elapse

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.names import ADAPTER_FINALIZER
from lorapool_operator.reconcile.reconciler import Reconciler
from lorapool_operator.reconcile.slices import SLICE_S, WRITES_UNDER_WAY, each
from lorapool_operator.reconcile.worker import Workers

pytestmark = pytest.mark.virtual_time

KEY = "default/shapes"
MANY = 10 * WRITES_UNDER_WAY
WRITE_S = SLICE_S / 2.5
# So many rounds of writes begin within a slice.
IN_A_SLICE = 3 * WRITES_UNDER_WAY


def adapter(number: int, *finalizers: str) -> Adapter:
    return make.adapter(f"a-{number:03}", metadata={"finalizers": finalizers, "resourceVersion": "1"})


@pytest.fixture
async def bench() -> Operating:
    it = Operating(clock=LoopClock())
    it.put(made.pool())
    it.api.write_s = WRITE_S
    return it


def marked(bench: Operating) -> set[str]:
    """Keys of the adapters that bear our finalizer."""
    return {key for key, found in bench.cache.adapters.items() if ADAPTER_FINALIZER in found.metadata.finalizers}


def statuses(bench: Operating) -> int:
    return sum(w.name.startswith("loraadapters/") and w.name.endswith("/status") for w in bench.api.writes)


async def until_all_is_written(passes: Reconciler) -> None:
    for _ in range(10):
        if (await passes.run()).again_s != 0.0:
            return
    raise AssertionError("there is no end")


async def test_finalizers_are_left_to_the_next_pass_where_something_new_came(bench: Operating) -> None:
    passes = Reconciler(KEY, bench.context, lambda: None)
    await passes.run()
    pod = bench.start_pod(FakePod())
    bench.put(*(adapter(number) for number in range(MANY)))

    await passes.run(lambda: True)
    await elapse(1.0)
    assert len(marked(bench)) == IN_A_SLICE
    assert set(pod.entries) == marked(bench)  # none is told that is not marked

    await until_all_is_written(passes)
    await elapse(1.0)
    assert len(pod.entries) == MANY
    passes.close()


async def test_statuses_are_left_to_the_next_pass_where_something_new_came(bench: Operating) -> None:
    bench.put(*(adapter(number, ADAPTER_FINALIZER) for number in range(MANY)))
    passes = Reconciler(KEY, bench.context, lambda: None)

    first = await passes.run(lambda: True)
    assert (statuses(bench), first.failures) == (IN_A_SLICE, 0)

    await until_all_is_written(passes)
    assert statuses(bench) == MANY
    passes.close()


async def test_what_comes_last_does_not_wait_for_all_that_came_before(bench: Operating) -> None:
    """An API server that takes so long over all that a pass without an end would hold the last one up for seconds."""
    workers = Workers(bench.context)
    bench.listeners.append(workers.wake)
    bench.start_pod(FakePod())
    await elapse(2.0)
    bench.put(*(adapter(number) for number in range(1, 2 * MANY)))
    await elapse(0.1)
    bench.put(adapter(0))
    alone_s = await bench.says("Served", "a-000")
    await workers.stop()
    assert alone_s < 4 * SLICE_S + 2 * WRITE_S  # a slice of each stage, in two passes


async def test_thousands_of_writes_are_no_thousands_of_tasks() -> None:
    async def act(number: int) -> tuple[int, int]:
        await asyncio.sleep(0)
        return number, len(asyncio.all_tasks())

    numbers, tasks = zip(*await each(act, range(1000)), strict=True)
    assert (numbers, max(tasks) <= WRITES_UNDER_WAY + 1) == (tuple(range(1000)), True)
