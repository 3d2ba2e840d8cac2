"""What a pass makes of the replicas that `spec.scaling` came to."""

from typing import Any

import pytest
from tests import make
from tests.unit.operator import make as made
from tests.unit.operator.context import Bench, LoopClock
from tests.unit.operator.fake_pods import FakePod
from tests.unit.operator.reconcile.operating import IP, OTHER_IP, Operating
from tests.virtual_time import elapse

from lorapool_api.kinds.conditions import Reason
from lorapool_api.kinds.pool import PoolStatus
from lorapool_api.names import DELETION_COST_ANNOTATION
from lorapool_common.kube.errors import ApiError
from lorapool_operator.reconcile.reconciler import Reconciler
from lorapool_operator.reconcile.worker import Workers
from lorapool_operator.seen.verdict import Verdict

POOL = "default/shapes"
SCALING: dict[str, Any] = {"scaling": {"minReplicas": 0, "maxReplicas": 4}}


def applied_replicas(bench: Bench) -> list[int]:
    return [w.body["spec"]["replicas"] for w in bench.api.writes if w.name == "Deployment/shapes-runtime"]


def marks(bench: Bench) -> list[tuple[str, str | None]]:
    """Pods whose deletion cost was written, in order."""
    rows = ((w.name.removeprefix("pods/"), w.body) for w in bench.api.writes if w.name.startswith("pods/"))
    return [(name, body["metadata"]["annotations"][DELETION_COST_ANNOTATION]) for name, body in rows]


def status(bench: Bench) -> PoolStatus:
    pool = bench.cache.pools.get(POOL)
    assert pool is not None
    return pool.status


def condition(bench: Bench, type_: str) -> tuple[str, str, str]:
    found = made.condition(status(bench).conditions, type_)
    return found.status, found.reason, found.message


async def test_the_deployment_has_as_many_replicas_as_were_decided_whatever_the_spec_says() -> None:
    bench = Bench()
    passes = Reconciler(POOL, bench.context, lambda: None)
    bench.put(make.pool(replicas=7, **SCALING))
    bench.scaler.decided[POOL] = 2
    await bench.settle(passes)
    assert applied_replicas(bench) == [2]
    assert status(bench).desired_replicas == 2

    before = len(bench.api.writes)
    await passes.run()
    assert len(bench.api.writes) == before, "nothing is written where nothing changes"

    bench.scaler.decided[POOL] = 3
    await bench.settle(passes)
    assert applied_replicas(bench) == [2, 3]


async def test_without_scaling_the_deployment_follows_the_spec_and_nobody_writes_the_pool() -> None:
    """A HorizontalPodAutoscaler, or KEDA, has written `spec.replicas`."""
    bench = Bench()
    passes = Reconciler(POOL, bench.context, lambda: None)
    bench.put(make.pool(replicas=3))
    await bench.settle(passes)
    assert applied_replicas(bench) == [3]
    assert bench.api.count("basemodelpools/shapes") == 0


async def two_pods(bench: Bench) -> Reconciler:
    passes = Reconciler(POOL, bench.context, lambda: None)
    bench.put(make.pool(**SCALING))
    bench.scaler.decided[POOL] = 2
    await bench.settle(passes)
    for name, ip in (("p-1", IP), ("p-2", OTHER_IP)):
        bench.put_pod(made.pod(name, ip=ip, resource_version="1"))
    await bench.settle(passes)
    bench.scaler.busy = {"uid-p-1": 1}
    return passes


async def test_the_pod_that_goes_is_marked_first() -> None:
    bench = Bench()
    passes = await two_pods(bench)
    before = len(bench.api.writes)
    bench.scaler.decided[POOL] = 1
    await bench.settle(passes)
    names = [w.name for w in bench.api.writes[before:] if not w.name.endswith("/status")]
    assert names == ["pods/p-2", "Deployment/shapes-runtime"]
    assert marks(bench) == [("p-2", "-1")]
    passes.close()


async def test_where_pods_may_not_be_marked_the_pool_is_scaled_down_all_the_same() -> None:
    bench = Bench()
    passes = await two_pods(bench)
    bench.api.refuse = lambda name, _: ApiError(403, "Forbidden", "no") if name.startswith("pods/") else None
    bench.scaler.decided[POOL] = 1
    await passes.run()
    await passes.run()
    assert applied_replicas(bench)[-1] == 1
    passes.close()


async def test_a_demand_that_nobody_knows_is_told_and_takes_nothing_from_ready() -> None:
    bench = Bench()
    passes = await two_pods(bench)
    bench.scaler.trouble = Verdict(Reason.DEMAND_UNKNOWN, "nobody says")
    bench.clock.s += 5.0
    await bench.settle(passes)
    assert condition(bench, "Degraded")[:2] == ("True", "DemandUnknown")
    assert condition(bench, "Ready")[1] != "DemandUnknown"
    passes.close()


# ---- to zero, and back


@pytest.fixture
async def it() -> Any:
    bench = Operating(clock=LoopClock())
    workers = Workers(bench.context)
    bench.listeners.append(workers.wake)
    bench.put(made.pool(**SCALING))
    bench.scaler.decided[POOL] = 1
    await elapse(1.0)
    bench.start_pod(FakePod())
    bench.put(make.adapter("pixel", metadata={"resourceVersion": "1"}))
    await elapse(5.0)
    yield bench
    await workers.stop()


async def to_zero(it: Operating) -> None:
    it.scaler.decided[POOL] = 0
    it.cache.wake((POOL,))
    await elapse(1.0)
    pod = it.cache.pods.get("default/p-1")
    assert pod is not None
    it.cache.wake(it.cache.pods.remove(pod.key, pod))
    await elapse(120.0)  # of an adapter that is served no less, the number of pods is no hurry


@pytest.mark.virtual_time
async def test_a_pool_at_zero_says_that_a_request_starts_a_pod(it: Operating) -> None:
    await to_zero(it)
    text = "nobody has asked for an image for 600 s: the next request starts a pod"
    assert condition(it, "Available") == ("False", "ScaledToZero", text)
    assert condition(it, "Ready") == ("True", "ScaledToZero", text)
    assert (status(it).desired_replicas, status(it).replicas) == (0, 0)


@pytest.mark.virtual_time
async def test_an_adapter_that_was_served_stays_so_at_zero_and_while_a_pod_starts(it: Operating) -> None:
    await to_zero(it)
    assert it.status("pixel").summary == "Served"
    assert "a request starts one" in it.condition("pixel", "Ready").message
    writes = it.status_writes("pixel")

    it.scaler.decided[POOL] = 1
    it.cache.wake((POOL,))
    await elapse(1.0)
    it.start_pod(FakePod(made.LOADING), OTHER_IP, "p-2")
    await elapse(30.0)
    assert it.status("pixel").summary == "Served"
    assert it.status_writes("pixel") == writes


@pytest.mark.virtual_time
async def test_a_restart_of_the_operator_at_zero_writes_no_status(it: Operating) -> None:
    await to_zero(it)
    before = it.status_writes("pixel")
    again = Workers(it.context)
    it.listeners[:] = [again.wake]
    again.wake(POOL)
    await elapse(30.0)
    assert it.status_writes("pixel") == before
    assert it.status("pixel").summary == "Served"
    await again.stop()


@pytest.mark.virtual_time
async def test_a_new_adapter_at_zero_waits_for_a_request(it: Operating) -> None:
    await to_zero(it)
    it.put(make.adapter("late", metadata={"resourceVersion": "1"}))
    await elapse(5.0)
    assert it.status("late").summary == "WaitingForPods"
    assert "a request starts one" in it.condition("late", "Ready").message
