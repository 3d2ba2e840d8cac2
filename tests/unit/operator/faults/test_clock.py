"""A clock that is set ahead or back changes nothing."""

from datetime import timedelta

import pytest
from tests import make
from tests.unit.operator import make as made
from tests.unit.operator.context import Bench
from tests.unit.operator.decide.rollout.rolling import A, B, Rolling, hub, loading, on_hub

from lorapool_api.names import ADAPTER_FINALIZER
from lorapool_operator.reconcile.reconciler import Reconciler

DAY = timedelta(days=1)


@pytest.mark.parametrize("ahead", [DAY, -DAY, timedelta(days=-20_000)])
async def test_a_clock_that_is_set_makes_no_other_status(ahead: timedelta) -> None:
    bench = Bench()
    bench.put(made.pool(), make.adapter("pixel", metadata={"finalizers": [ADAPTER_FINALIZER]}))
    bench.put_pod(made.pod(ip="127.0.0.1"))
    passes = Reconciler("default/shapes", bench.context, lambda: None)
    bench.clock.s += 10.0
    await bench.settle(passes)
    before = len(bench.api.writes)

    bench.set_ahead = ahead
    await bench.settle(passes)
    passes.refresh()
    await passes.run()

    assert [w.name for w in bench.api.writes[before:] if w.name.endswith("/status")] == []
    passes.close()


def test_a_clock_that_is_set_back_holds_up_no_take_over() -> None:
    rolling = Rolling(hub("a/b"), on_hub(A))
    rolling.settle()
    rolling.edit(on_hub(B), source=hub("c/d"))
    rolling.step()
    (rival,) = set(rolling.entries) - {rolling.serving.key}
    rolling.says[f"b {rival}"] = loading()  # this pod never gets it
    rolling.settle()
    assert (rolling.serving.sha256, rolling.candidate.verified_time is not None) == (A, True)

    rolling.now_s = -DAY.total_seconds()
    rolling.settle()

    assert rolling.serving.sha256 == B
