"""Requests that are held: for a pod, for an adapter, for a pod to get the adapter."""

import asyncio
from dataclasses import replace

import pytest
from tests import make
from tests.unit.gateway.fakes import SHA, World, read, with_ready
from tests.unit.gateway.serve.asked import BASE, PIXEL, trouble
from tests.waiting import until

from lorapool_api.wire.reply import ErrorCode
from lorapool_api.wire.weighting.scale import Weighting
from lorapool_gateway.cluster.directory import ObjectKind
from lorapool_gateway.errors import AdapterUnavailable, BadRequest, Busy, NoPodReady, UnknownModel


async def test_a_request_waits_for_the_first_pod(world: World) -> None:
    held = asyncio.create_task(world.proxy.generate(BASE))
    await until(lambda: b'waiting_requests{pool="default/shapes"} 1.0' in world.metrics.text(), "it is held")
    pod = world.pod()
    assert (await held).reply.pod == pod.name


async def test_no_more_requests_wait_for_a_pool_than_its_pods_would_let_wait(world: World) -> None:
    world.pool(replicas=2, serving={"maxPending": 3})
    held = [asyncio.create_task(world.proxy.generate(BASE)) for _ in range(8)]
    await until(lambda: sum(task.done() for task in held) == 2, "two are refused")
    assert all(isinstance(task.exception(), Busy) for task in held if task.done())
    world.pod()
    served = [task for task in held if not task.done()]
    await asyncio.wait(served)
    # Its room is that of a pod that lets four wait while one runs; the sixth is refused as by any full pool.
    assert sum(task.exception() is None for task in served) >= 5
    world.network.pods.clear()


async def test_a_request_without_a_pod_ends_with_the_pools_time_and_says_why(world: World) -> None:
    world.pool(serving={"requestTimeoutSeconds": 1})
    with pytest.raises(NoPodReady, match="no pod of pool default/shapes is ready"):
        await world.proxy.generate(BASE)


async def test_a_request_waits_for_an_adapter_that_is_on_its_way(world: World) -> None:
    world.adapter(ready={"status": "False", "reason": "Downloading"})
    world.pod()
    held = asyncio.create_task(world.proxy.generate(PIXEL))
    await until(lambda: b'waiting_requests{pool="default/shapes"} 1.0' in world.metrics.text(), "it is held")
    world.adapter()
    assert (await held).reply.adapters[0].sha256 == SHA


async def test_a_scale_that_is_no_number_goes_to_the_pods_that_know_it(world: World) -> None:
    world.adapter()
    earlier = world.pod("pod-a", reads_weightings=False)
    use = PIXEL.generate.adapters[0].model_copy(update={"scale": Weighting(steps=((0, 1), (0.5, 0)))})
    weighed = replace(PIXEL, generate=PIXEL.generate.model_copy(update={"adapters": (use,)}))
    with pytest.raises(BadRequest, match="are of an earlier version"):
        await world.proxy.generate(weighed)
    await world.proxy.generate(PIXEL)
    world.pod("pod-b", pending=3)
    assert (await world.proxy.generate(weighed)).reply.pod == "pod-b"
    assert [made.adapters[0].scale for made in earlier.received] == [0.5]


async def test_an_adapter_that_takes_too_long_is_reported_with_its_condition() -> None:
    world = World(adapter_hold_s=0.01)
    world.pool()
    world.adapter(ready={"status": "False", "reason": "Downloading", "message": "3 of 9 MB"})
    with pytest.raises(AdapterUnavailable, match="3 of 9 MB") as refused:
        await world.proxy.generate(PIXEL)
    assert refused.value.transient


async def test_an_adapter_that_can_never_be_served_is_not_waited_for(world: World) -> None:
    world.adapter(ready={"status": "False", "reason": "BaseModelMismatch"})
    with pytest.raises(AdapterUnavailable):
        await world.proxy.generate(PIXEL)


async def test_an_adapter_deleted_while_its_request_is_held_ends_it(world: World) -> None:
    held = asyncio.create_task(world.proxy.generate(PIXEL))
    await until(lambda: b'waiting_requests{pool="default/shapes"} 1.0' in world.metrics.text(), "it is held")
    world.directory.drop(ObjectKind.ADAPTER, read(make.adapter()))
    with pytest.raises(UnknownModel):
        await held


async def test_a_request_is_held_until_a_pod_has_its_adapter(world: World) -> None:
    pod = world.pod()
    pod.troubles.extend([trouble(ErrorCode.ADAPTER_NOT_READY)] * 6)
    assert (await world.proxy.generate(PIXEL)).reply.pod == pod.name


async def test_an_adapter_that_no_pod_gets_in_time_is_given_up() -> None:
    world = World(adapter_hold_s=0.05)
    world.pool()
    world.adapter()
    pod = world.pod()
    pod.troubles.extend([trouble(ErrorCode.ADAPTER_NOT_READY)] * 10_000)
    with pytest.raises(AdapterUnavailable, match="because") as refused:
        await world.proxy.generate(PIXEL)
    assert refused.value.should_retry


async def test_the_file_that_counts_is_the_newest_one_when_the_request_is_sent(world: World) -> None:
    pod = world.pod()
    pod.troubles.append(trouble(ErrorCode.ADAPTER_NOT_READY))
    newer = "cd" * 32
    edited = with_ready(make.adapter()).model_dump(mode="json", by_alias=True, exclude_none=True)
    edited["status"]["resolved"]["sha256"] = newer
    held = asyncio.create_task(world.proxy.generate(PIXEL))
    await pod.got_one.wait()
    world.directory.put(ObjectKind.ADAPTER, edited)
    await held
    assert pod.received[-1].adapters[0].sha256 == newer


async def test_a_request_goes_on_in_the_pool_that_its_adapter_has_moved_to(world: World) -> None:
    """The old pool's pod has dropped it before the gateway hears of the move."""
    world.pool("other")
    world.adapter()
    world.pod().troubles.extend([trouble(ErrorCode.UNKNOWN_ADAPTER)] * 10_000)
    held = asyncio.create_task(world.proxy.generate(PIXEL))
    await until(lambda: b'retries_total{cause="adapter"' in world.metrics.text(), "the old pool has refused it")
    new = world.pod("pod-b", pool="default/other")
    moved = with_ready(make.adapter(poolRef={"name": "other"}))
    world.directory.put(ObjectKind.ADAPTER, read(moved))
    served = await held
    assert (served.pool, served.reply.pod) == ("default/other", new.name)
