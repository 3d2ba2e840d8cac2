"""What this pod is to fetch for all pods comes before its copies of what others fetch."""

import asyncio

import pytest
from tests.unit.runtime.catalog.bench import Bench, FakeSources, entry
from tests.waiting import until

from lorapool_api.kinds.conditions import Reason
from lorapool_api.wire.state import AdapterPhase
from lorapool_runtime.catalog.order.own_first import OwnFirst
from lorapool_runtime.errors import AdapterError


def bench(fault: AdapterError | Exception | asyncio.Event) -> Bench:
    """A pod of two adapters, of which `own` is the one that it fetches for all; a copy of the other comes first."""
    made = Bench(is_own=lambda key: key == "default/own", sources=FakeSources({"/a/own": fault}))
    made.apply(entry("copy"), entry("own"))
    return made


async def test_a_copy_waits_until_what_is_the_pods_own_has_come() -> None:
    here = asyncio.Event()
    pod = bench(here)
    await until(lambda: pod.sources.asked == ["/a/own"])
    for _ in range(20):
        await asyncio.sleep(0)
    assert pod.sources.asked == ["/a/own"]
    here.set()
    await pod.ready("own", "copy")


async def test_a_request_does_not_wait_for_it() -> None:
    pod = bench(asyncio.Event())
    await until(lambda: pod.sources.asked == ["/a/own"])
    pod.registry.weights.request("default/copy")
    await pod.ready("copy")
    assert pod.phase("own") is AdapterPhase.DOWNLOADING


async def test_a_request_in_the_moment_of_the_catalog_does_not_wait_for_it_either() -> None:
    pod = bench(asyncio.Event())
    pod.registry.weights.request("default/copy")
    async with asyncio.timeout(10.0):  # a third of the time that it would wait for the other
        await pod.ready("copy")
    assert pod.phase("own") is AdapterPhase.DOWNLOADING


async def test_a_base_that_is_not_warm_yet_holds_up_no_copy() -> None:
    here = asyncio.Event()
    pod = bench(here)
    pod.warm.clear()
    here.set()
    await until(lambda: pod.sources.asked == ["/a/own", "/a/copy"])
    assert pod.phase("own") is AdapterPhase.LOADING
    pod.warm.set()
    await pod.ready("own", "copy")


@pytest.mark.parametrize("transient", [True, False])
async def test_one_that_fails_holds_up_no_copy(transient: bool) -> None:
    pod = bench(AdapterError(Reason.SOURCE_UNAVAILABLE, "away", transient=transient))
    await pod.ready("copy")


async def test_one_that_is_removed_holds_up_no_copy() -> None:
    pod = bench(asyncio.Event())
    await until(lambda: pod.sources.asked == ["/a/own"])
    pod.apply(entry("copy"))
    await pod.ready("copy")


async def test_a_source_that_hangs_holds_a_copy_up_for_a_while_only() -> None:
    order = OwnFirst(lambda key: key == "own", longest_s=0.01)
    order.begin("copy")
    order.begin("own")
    await order.turn("own")
    await order.turn("copy")
