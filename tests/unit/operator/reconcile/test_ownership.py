"""Objects of the pool's names that are somebody else's: nothing is written to them, and their pods are nobody's."""

from dataclasses import replace

import pytest
from tests import make
from tests.unit.operator import make as made
from tests.unit.operator.context import Bench, owner
from tests.unit.operator.fake_pods import FakePod

from lorapool_api.kinds.conditions import Condition, Reason
from lorapool_operator.reconcile.reconciler import Reconciler

KEY = "default/shapes"


@pytest.fixture
async def bench() -> Bench:
    it = Bench()
    it.put(made.pool(), make.adapter("pixel"))
    return it


def degraded(bench: Bench) -> Condition:
    pool = bench.cache.pools.get(KEY)
    assert pool is not None
    return made.condition(pool.status.conditions, "Degraded")


async def test_a_pool_whose_service_would_be_somebody_elses_says_so_and_gets_no_pods(bench: Bench) -> None:
    bench.api.there["Service/shapes-runtime"] = {"uid": "theirs", "ownerReferences": [owner("another pool")]}
    passes = Reconciler(KEY, bench.context, lambda: None)
    await bench.settle(passes)
    assert (degraded(bench).status, degraded(bench).reason) == ("True", Reason.INVALID_SPEC)
    assert degraded(bench).message.startswith("Service shapes-runtime is there already and is not the pool's")
    assert bench.api.count("Service/shapes-runtime") == bench.api.count("Deployment/shapes-runtime") == 0

    del bench.api.there["Service/shapes-runtime"]
    bench.clock.s += 60.0
    await bench.settle(passes)
    assert (degraded(bench).status, degraded(bench).reason) == ("False", Reason.STABLE)
    passes.close()


@pytest.mark.parametrize("owner_uid", [None, "another pool"])
async def test_pods_of_a_deployment_that_is_not_the_pools_are_told_nothing(bench: Bench, owner_uid: str | None) -> None:
    """They would be sent the control token, and believed."""
    pod = bench.pods.pods["10.0.0.1"] = FakePod()
    theirs = replace(made.deployment(), uid="uid-shapes-runtime", owner=owner_uid)
    bench.cache.deployments.put("default/shapes-runtime", theirs)
    bench.put_pod(made.pod(ip="10.0.0.1"))
    passes = Reconciler(KEY, bench.context, lambda: None)
    await bench.settle(passes)
    assert pod.calls == []
    assert degraded(bench).reason == Reason.INVALID_SPEC
    passes.close()
