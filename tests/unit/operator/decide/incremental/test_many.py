"""A pass over many adapters: the event loop goes on."""

import asyncio

from tests import make
from tests.unit.operator.context import Bench

from lorapool_operator.reconcile.reconciler import Reconciler


async def test_the_event_loop_goes_on_while_a_pass_over_many_adapters_is_decided() -> None:
    bench = Bench()
    bench.put(make.pool(), *(make.adapter(f"a{number}") for number in range(200)))
    turns: list[int] = []

    async def turn() -> None:
        while True:
            turns.append(len(bench.api.writes))
            await asyncio.sleep(0)

    turning = asyncio.create_task(turn())
    await Reconciler("default/shapes", bench.context, lambda: None, most_at_once=100).run()
    turning.cancel()

    # Before the first write there were turns in which the plan was made.
    assert turns.count(0) > 10
    assert bench.api.count("loraadapters/a7/status") == 1
