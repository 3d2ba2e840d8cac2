"""How many requests want a pool's pods."""

import asyncio

from prometheus_client.parser import text_string_to_metric_families
from tests.unit.gateway.fakes import FakePod, World
from tests.unit.gateway.serve.asked import BASE, PIXEL, trouble
from tests.waiting import until

from lorapool_api.wire.gateways.demand import PodRequests, PoolDemand
from lorapool_api.wire.reply import ErrorCode

POOL = "default/shapes"
STAGE_COUNT = "lorapool_gateway_stage_seconds_count"
NOTHING = PoolDemand(waiting=0, running=0, demand=0)


def counted(world: World) -> tuple[int, int]:
    """Requests that wait for a pod, and that a pod has."""
    found = world.demand.of_pool(POOL)
    assert found is not None
    assert found.demand == found.waiting + found.running
    return found.waiting, found.running


def gauge(world: World) -> float:
    """What Prometheus reads."""
    families = text_string_to_metric_families(world.metrics.text().decode())
    (sample,) = (s for f in families if f.name == "lorapool_gateway_demand_requests" for s in f.samples)
    assert sample.labels == {"pool": POOL, "pool_namespace": "default", "pool_name": "shapes"}
    return sample.value


async def test_requests_that_no_pod_is_ready_for_want_one(world: World) -> None:
    held = [asyncio.create_task(world.proxy.generate(BASE)) for _ in range(3)]
    await until(lambda: counted(world) == (3, 0), "they are held")
    assert world.demand.report().pools == {POOL: PoolDemand(waiting=3, running=0, demand=3)}
    assert gauge(world) == 3.0
    world.pod()
    await asyncio.gather(*held)
    assert counted(world) == (0, 0)
    assert world.demand.report().pools == {}
    assert gauge(world) == 0.0


async def test_a_request_that_a_pod_has_counts_until_it_is_answered(world: World, pod: FakePod) -> None:
    pod.hold = asyncio.Event()
    sent = asyncio.create_task(world.proxy.generate(BASE))
    await pod.got_one.wait()
    assert counted(world) == (0, 1)
    pod.hold.set()
    await sent
    assert counted(world) == (0, 0)


async def test_an_adapter_that_waits_for_a_pod_wants_one(world: World) -> None:
    world.adapter(ready={"status": "False", "reason": "WaitingForPods"})
    held = asyncio.create_task(world.proxy.generate(PIXEL))
    await until(lambda: counted(world) == (1, 0), "it is held")
    held.cancel()
    await asyncio.gather(held, return_exceptions=True)
    assert counted(world) == (0, 0)


async def test_an_adapter_that_is_on_its_way_wants_no_other_pod(world: World, pod: FakePod) -> None:
    world.adapter(ready={"status": "False", "reason": "Downloading"})
    held = asyncio.create_task(world.proxy.generate(PIXEL))
    await until(lambda: b'waiting_requests{pool="default/shapes"} 1.0' in world.metrics.text(), "it is held")
    assert counted(world) == (0, 0)
    world.adapter()
    await held


async def test_a_request_that_was_held_and_then_refused_by_a_pod_counts_once(world: World, pod: FakePod) -> None:
    pod.troubles.extend([trouble(ErrorCode.ADAPTER_NOT_READY)] * 3)
    pod.hold = asyncio.Event()
    pod.hold.set()
    await world.proxy.generate(PIXEL)
    assert counted(world) == (0, 0)


async def test_a_client_that_goes_is_no_demand_any_more(world: World, pod: FakePod) -> None:
    pod.hold = asyncio.Event()
    sent = asyncio.create_task(world.proxy.generate(BASE))
    await pod.got_one.wait()
    sent.cancel()
    await asyncio.gather(sent, return_exceptions=True)
    assert counted(world) == (0, 0)


async def test_what_pods_have_is_told_by_their_uids(world: World) -> None:
    world.pod("pod-a", pending=3)
    assert world.demand.report().pods == {"uid-pod-a": PodRequests(pending=3, running=0)}


async def test_a_pool_that_is_not_there_has_no_demand_not_even_none(world: World) -> None:
    assert world.demand.of_pool(POOL) == NOTHING
    assert world.demand.of_pool("default/nothing") is None


async def test_as_many_are_held_as_the_pods_that_are_to_come_would_let_wait(world: World) -> None:
    world.pool(scaling={"minReplicas": 0, "maxReplicas": 3}, replicas=0, serving={"maxPending": 2})
    held = [asyncio.create_task(world.proxy.generate(BASE)) for _ in range(8)]
    await until(lambda: sum(task.done() for task in held) == 2, "two are refused")
    assert counted(world) == (6, 0)
    for task in held:
        task.cancel()
    await asyncio.gather(*held, return_exceptions=True)


async def test_where_the_time_of_a_request_went_is_counted_once_it_is_answered(world: World, pod: FakePod) -> None:
    async with world.client() as client:
        assert (await client.post("/", json={"inputs": "a cat"})).status_code == 200

    def is_counted() -> bool:
        families = text_string_to_metric_families(world.metrics.text().decode())
        counts = {s.labels["stage"]: s.value for f in families for s in f.samples if s.name == STAGE_COUNT}
        return {counts.get(stage) for stage in ("wait", "total", "encode")} == {1.0}

    await until(is_counted, "wait, total and the pod's stages")
