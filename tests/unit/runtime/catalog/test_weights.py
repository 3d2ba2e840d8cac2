"""Adapters for a request: what it gets is what was asked for."""

import asyncio

import pytest
from tests.unit.runtime.catalog.bench import Bench, entry

from lorapool_api.kinds.conditions import Reason
from lorapool_api.kinds.serving import FoundDefaults, SchedulerName, ServingLimits
from lorapool_api.wire.reply import ErrorCode
from lorapool_api.wire.request import AdapterUse
from lorapool_api.wire.state import Tier
from lorapool_runtime.errors import AdapterError, RequestError


async def test_the_least_recently_used_leaves_memory_first() -> None:
    bench = Bench(bound_bytes=100)
    bench.apply(*(entry(n) for n in ("one", "two", "three")))
    await bench.ready("one", "two", "three")
    for name in ("one", "two", "one", "three"):
        await bench.take(name)
    assert bench.registry.tiers.all() == {
        "default/one": Tier.HOST,
        "default/two": Tier.DISK,
        "default/three": Tier.HOST,
    }


async def test_a_burst_for_one_absent_adapter_reads_it_once() -> None:
    bench = Bench(bound_bytes=40)
    bench.apply(entry("one"), entry("two"))
    await bench.ready("one", "two")
    absent = next(k for k, tier in bench.registry.tiers.all().items() if tier is Tier.DISK)
    bench.reads.clear()
    await asyncio.gather(*(bench.take(absent.partition("/")[2]) for _ in range(20)))
    assert len(bench.reads) == 1


async def without_a_file(bench: Bench) -> None:
    """One adapter that is ready, neither in memory nor, as it turns out, on the disk."""
    bench.apply(entry("one"))
    await bench.ready("one")
    bench.missing.add("sha-of-/a/one")
    bench.sources.on_load = bench.missing.clear


async def test_a_burst_for_a_file_that_left_the_disk_waits_for_one_download() -> None:
    bench = Bench(bound_bytes=0)
    await without_a_file(bench)
    taken = await asyncio.gather(*(bench.take("one") for _ in range(20)))
    assert {weights.sha256 for weights in taken} == {"sha-of-/a/one"}
    assert bench.sources.asked == ["/a/one", "/a/one"]


async def test_a_file_that_cannot_be_had_again_is_tried_until_it_can() -> None:
    bench = Bench(bound_bytes=0)
    await without_a_file(bench)
    bench.sources.faults["/a/one"] = AdapterError(Reason.SOURCE_UNAVAILABLE, "the Hub is away")
    with pytest.raises(RequestError) as refused:
        await bench.take("one")
    assert (refused.value.code, refused.value.retryable) == (ErrorCode.ADAPTER_FAILED, True)
    del bench.sources.faults["/a/one"]
    await bench.ready("one")


async def test_a_request_gets_the_defaults_of_its_stack_as_the_catalog_has_them_now() -> None:
    bench = Bench()
    bench.apply(entry("one", defaults={"steps": 30}, recognised={"steps": 4, "guidanceScale": 0}), entry("two"))
    uses, limits = [AdapterUse(key="default/two"), AdapterUse(key="default/one")], ServingLimits(steps=50)
    assert bench.registry.weights.defaults(uses, limits) == FoundDefaults(steps=30, guidance_scale=0)
    bench.apply(entry("one", defaults={"negativePrompt": "blur"}), entry("two"))
    assert bench.registry.weights.defaults(uses, limits) == FoundDefaults(negative_prompt="blur")


async def test_what_the_file_declares_stands_between_its_object_and_its_name() -> None:
    bench = Bench()
    bench.sources.declared["/a/one"] = FoundDefaults(steps=6, guidance_scale=2)
    bench.apply(entry("one", defaults={"steps": 8}, recognised={"steps": 4, "scheduler": "lcm"}))
    await bench.ready("one")
    found = bench.registry.weights.defaults([AdapterUse(key="default/one")], ServingLimits(steps=50))
    assert found == FoundDefaults(steps=8, guidance_scale=2, scheduler=SchedulerName.LCM)


async def test_one_bad_adapter_of_a_stack_refuses_the_stack() -> None:
    bench = Bench()
    bench.apply(entry("one"))
    await bench.ready("one")
    with pytest.raises(RequestError) as refused:
        bench.registry.weights.take([AdapterUse(key="default/one"), AdapterUse(key="default/two")])
    assert refused.value.code is ErrorCode.UNKNOWN_ADAPTER
