"""The catalog in a pod: every adapter goes its own way."""

import asyncio

from tests.unit.runtime.catalog.bench import Bench, entry
from tests.waiting import until

from lorapool_api.kinds.conditions import Reason
from lorapool_api.wire.request import AdapterUse
from lorapool_api.wire.state import AdapterPhase
from lorapool_runtime.errors import AdapterError


async def test_one_that_fails_and_one_that_hangs_hold_up_no_other() -> None:
    bench = Bench()
    bench.sources.faults = {
        "/a/bad": AdapterError(Reason.NOT_A_LORA, "a whole model"),
        "/a/slow": asyncio.Event(),
        "/a/odd": ZeroDivisionError("a defect"),
    }
    bench.apply(*(entry(n) for n in ("bad", "slow", "odd", "good")))
    await bench.ready("good")
    await until(lambda: bench.phase("odd") is AdapterPhase.FAILED)

    states = bench.registry.states()
    assert (states["default/bad"].reason, states["default/bad"].message) == (Reason.NOT_A_LORA, "a whole model")
    assert states["default/odd"].reason is Reason.INTERNAL_ERROR
    assert bench.phase("slow") is AdapterPhase.DOWNLOADING


async def test_what_may_pass_is_tried_again() -> None:
    bench = Bench()
    bench.sources.faults["/a/one"] = AdapterError(Reason.SOURCE_UNAVAILABLE, "503")
    bench.apply(entry("one"))
    await until(lambda: bench.phase("one") is AdapterPhase.FAILED)
    bench.sources.faults.clear()
    await bench.ready("one")


async def test_what_will_not_pass_is_not_tried_until_the_entry_changes() -> None:
    bench = Bench()
    bench.sources.faults["/a/one"] = AdapterError(Reason.CHECKSUM_MISMATCH, "other")
    bench.apply(entry("one"))
    await until(lambda: bench.phase("one") is AdapterPhase.FAILED)
    bench.sources.faults.clear()
    bench.apply(entry("one"))
    assert bench.phase("one") is AdapterPhase.FAILED
    bench.apply(entry("one", generation=2))
    await bench.ready("one")
    assert bench.sources.asked == ["/a/one", "/a/one"]


async def test_a_new_strength_disturbs_nothing() -> None:
    bench = Bench()
    bench.apply(entry("one", sha256="0" * 64))
    await bench.ready("one")
    bench.apply(entry("one", sha256="0" * 64, generation=2, scale=0.5))
    assert bench.phase("one") is AdapterPhase.READY
    assert bench.registry.states()["default/one"].generation == 2
    assert [chosen.scale for chosen in bench.registry.weights.take([AdapterUse(key="default/one")])] == [0.5]


async def test_an_adapter_is_ready_only_when_it_fits_the_warm_base() -> None:
    bench = Bench(modules={"unet": {"mid_block": (8, 9)}})
    bench.warm.clear()
    bench.apply(entry("one"))
    await until(lambda: bench.phase("one") is AdapterPhase.LOADING)
    bench.warm.set()
    await until(lambda: bench.phase("one") is AdapterPhase.FAILED)
    assert bench.registry.states()["default/one"].reason is Reason.BASE_MODEL_MISMATCH
    assert bench.reads == []


async def test_a_removed_adapter_leaves_memory_and_stops_its_download() -> None:
    bench = Bench()
    bench.sources.faults["/a/slow"] = asyncio.Event()
    bench.apply(entry("one"), entry("slow"))
    await bench.ready("one")
    bench.device.there.add("sha-of-/a/one")
    bench.apply()
    await until(lambda: bench.sources.cancelled == ["/a/slow"])
    assert not bench.memory.holds("sha-of-/a/one")
    assert bench.device.there == set()
    assert bench.registry.states() == {}


async def test_a_file_that_two_adapters_share_stays_for_the_other() -> None:
    bench = Bench()
    bench.apply(entry("one", path="/a/same"), entry("two", path="/a/same"))
    await bench.ready("one", "two")
    bench.apply(entry("two", path="/a/same"))
    assert bench.memory.holds("sha-of-/a/same")
    assert bench.reads == ["sha-of-/a/same"]


async def test_a_file_for_another_base_leaves_the_disk_and_one_that_is_served_stays() -> None:
    bench = Bench(modules={"unet": {"another_block": (8, 8)}})
    bench.apply(entry("wrong"), entry("twin", path="/a/wrong"))
    await until(lambda: {bench.phase("wrong"), bench.phase("twin")} == {AdapterPhase.FAILED})
    assert bench.registry.states()["default/wrong"].reason is Reason.BASE_MODEL_MISMATCH
    assert set(bench.sources.discarded) == {"sha-of-/a/wrong"}
    bench.modules = {"unet": {"mid_block": (8, 8)}}
    bench.sources.discarded.clear()
    bench.apply(entry("good"))
    await bench.ready("good")
    assert bench.sources.discarded == []


async def test_a_file_that_vanishes_while_it_is_brought_is_tried_again() -> None:
    bench = Bench()
    bench.sources.faults["/a/one"] = FileNotFoundError("evicted")
    bench.apply(entry("one"))
    await until(lambda: bench.phase("one") is AdapterPhase.FAILED)
    assert bench.registry.states()["default/one"].reason is Reason.SOURCE_UNAVAILABLE
    del bench.sources.faults["/a/one"]
    await bench.ready("one")


async def test_what_a_merge_loses_is_told_of_every_adapter_of_that_file() -> None:
    bench = Bench()
    bench.apply(entry("one"), entry("same", path="/a/one"), entry("two"))
    await bench.ready("one", "same", "two")
    await bench.take("one")
    found = bench.registry.unmeasured()
    assert found is not None
    before = bench.changes.version
    bench.registry.note_merge_loss("sha-of-/a/one", 0.25)
    told = bench.registry.states(since=before)
    assert {key: state.facts.merge_loss for key, state in told.items() if state.facts} == {
        "default/one": 0.25,
        "default/same": 0.25,
    }
    bench.registry.note_merge_loss("sha-of-/a/two", None)
    assert bench.registry.unmeasured() is None
