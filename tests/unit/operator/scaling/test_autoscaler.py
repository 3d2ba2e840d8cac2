"""Gateways are asked once a second, and what they say becomes replicas."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.unit.operator.scaling.fake_gateways import POOL, Scaled, gateway_manifest
from tests.virtual_time import elapse, until

pytestmark = pytest.mark.virtual_time
ONE, TWO = "10.1.0.1", "10.1.0.2"


@pytest.fixture
async def it() -> AsyncIterator[Scaled]:
    """One gateway that has nothing to do."""
    made = Scaled()
    made.api.items = [gateway_manifest(ONE)]
    made.gateways.waiting[ONE] = 0
    running = asyncio.create_task(made.scaler.run())
    yield made
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_nobody_is_asked_and_nothing_watched_while_no_pool_scales(it: Scaled) -> None:
    it.put()
    await elapse(60.0)
    assert (it.gateways.asked, it.api.lists) == (0, 0)
    assert it.replicas() == 1


async def test_each_gateway_is_asked_once_a_second_and_no_longer_than_needed(it: Scaled) -> None:
    it.put(minReplicas=1)
    await elapse(60.0)
    assert 57 <= it.gateways.asked <= 61
    it.put()
    await elapse(3.0)
    asked = it.gateways.asked
    await elapse(60.0)
    assert it.gateways.asked == asked
    assert (it.api.lists, it.api.ends) == (1, 1)
    assert b"desired_replicas{" not in it.metrics.text()


async def test_more_requests_make_more_pods_within_two_seconds_by_one_pass(it: Scaled) -> None:
    it.put(minReplicas=1)
    await elapse(5.0)
    it.woken.clear()
    it.gateways.waiting[ONE] = 6
    assert await until(lambda: it.replicas() == 3) < 2.0
    await elapse(10.0)
    assert it.woken == [POOL]
    assert b'desired_replicas{pool="default/shapes"} 3.0' in it.metrics.text()
    assert b'demand_requests{pool="default/shapes"} 6.0' in it.metrics.text()


async def test_a_pool_without_pods_gets_one_for_the_first_request(it: Scaled) -> None:
    it.deploy(0)
    it.put(minReplicas=0)
    await elapse(60.0)
    assert (it.replicas(), it.woken) == (0, [])
    it.gateways.waiting[ONE] = 1
    assert await until(lambda: it.replicas() == 1) < 2.0
    assert it.woken == [POOL]


async def test_the_last_pod_goes_when_nobody_asks(it: Scaled) -> None:
    it.put(minReplicas=0, idleSeconds=600, scaleDownDelaySeconds=60)
    assert 600 <= await until(lambda: it.replicas() == 0) < 603


async def test_a_gateway_that_goes_away_takes_no_pod_along(it: Scaled) -> None:
    it.put(minReplicas=0, idleSeconds=60, scaleDownDelaySeconds=10)
    it.gateways.waiting[ONE] = 8
    await elapse(3.0)
    it.gateways.waiting[ONE] = None
    await elapse(3600.0)
    assert (it.replicas(), it.problem()) == (4, "DemandUnknown")
    assert b'demand_unknown{pool="default/shapes"} 1.0' in it.metrics.text()
    it.gateways.waiting[ONE] = 0
    await elapse(2.0)
    assert it.problem() is None
    assert b'demand_unknown{pool="default/shapes"} 0.0' in it.metrics.text()
    assert await until(lambda: it.replicas() == 0) < 65


async def test_a_silence_of_some_seconds_is_not_told(it: Scaled) -> None:
    it.put(minReplicas=1)
    await elapse(3.0)
    it.gateways.waiting[ONE] = None
    await elapse(25.0)
    assert it.problem() is None
    it.woken.clear()
    await elapse(20.0)
    assert (it.problem(), it.woken) == ("DemandUnknown", [POOL])


async def test_one_answer_that_is_late_changes_nothing(it: Scaled) -> None:
    it.put(minReplicas=0, idleSeconds=10, scaleDownDelaySeconds=0)
    await elapse(8.0)
    it.gateways.waiting[ONE] = None
    await elapse(2.0)
    it.gateways.waiting[ONE] = 0
    assert await until(lambda: it.replicas() == 0) < 4


async def test_where_no_gateway_is_found_nothing_is_known(it: Scaled) -> None:
    it.api.items = []
    it.put(minReplicas=0, idleSeconds=10, scaleDownDelaySeconds=10)
    await elapse(3600.0)
    assert (it.replicas(), it.problem()) == (1, "DemandUnknown")


async def test_a_gateway_that_ends_is_asked_and_may_be_silent(it: Scaled) -> None:
    """It drains what it has; another takes what comes."""
    leaving = gateway_manifest(TWO, deletionTimestamp="2026-01-01T00:00:00Z")
    it.put(minReplicas=0, idleSeconds=10, scaleDownDelaySeconds=0)
    await elapse(1.0)
    await it.api.events.put(("ADDED", leaving))
    it.gateways.waiting[TWO] = 5
    await elapse(3.0)
    assert it.replicas() == 3
    it.gateways.waiting[TWO] = None
    assert await until(lambda: it.replicas() == 0) < 20
    assert it.problem() is None


async def test_a_gateway_that_comes_must_answer_like_the_others(it: Scaled) -> None:
    it.put(minReplicas=0, idleSeconds=10, scaleDownDelaySeconds=0)
    await elapse(1.0)
    await it.api.events.put(("ADDED", gateway_manifest(TWO)))
    await elapse(60.0)
    assert it.replicas() == 1
    await it.api.events.put(("DELETED", gateway_manifest(TWO)))
    assert await until(lambda: it.replicas() == 0) < 20


async def test_a_pool_that_is_made_again_begins_anew(it: Scaled) -> None:
    pool = it.put(minReplicas=1)
    it.gateways.waiting[ONE] = 8
    await elapse(3.0)
    assert it.replicas() == 4
    it.cache.pools.remove(POOL, pool)
    it.gateways.waiting[ONE] = 0
    await elapse(3.0)
    meta = pool.metadata.model_copy(update={"uid": "another", "resource_version": "9"})
    it.cache.pools.put(POOL, pool.model_copy(update={"metadata": meta}))
    await elapse(3.0)
    assert it.replicas() == 1
