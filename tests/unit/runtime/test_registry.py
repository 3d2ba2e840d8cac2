"""The catalog in a pod: every adapter goes its own way, and what a request gets is what was asked for."""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lorapool_api.kinds.adapter import AdapterFormat
from lorapool_api.kinds.conditions import Reason
from lorapool_api.lora.facts import AdapterFacts
from lorapool_api.lora.fit import Modules, check_fits
from lorapool_api.lora.modules import PartInfo, file_module
from lorapool_api.wire.catalog import Catalog, CatalogEntry, FileSource, PathFile
from lorapool_api.wire.reply import ErrorCode
from lorapool_api.wire.request import AdapterUse
from lorapool_api.wire.state import AdapterPhase, Tier
from lorapool_common.backoff import Backoff
from lorapool_common.changes import Changes
from lorapool_runtime.adapters.file import AdapterFile, HostAdapter
from lorapool_runtime.catalog.host_cache import HostCache
from lorapool_runtime.catalog.index import CatalogIndex
from lorapool_runtime.catalog.readers import Ticket
from lorapool_runtime.catalog.registry import Registry
from lorapool_runtime.engine.stub import StubAdapter
from lorapool_runtime.errors import AdapterError, RequestError


def entry(name: str, path: str | None = None, **fields: object) -> CatalogEntry:
    plain = {"key": f"default/{name}", "generation": 1, "source": PathFile(path=path or f"/a/{name}")}
    return CatalogEntry.model_validate({**plain, **fields})


@dataclass
class Sources:
    """Files by path; an error stands for what happens instead, an event for a download that takes its time."""

    faults: dict[str, AdapterError | Exception | asyncio.Event] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    discarded: list[str] = field(default_factory=list)
    on_bring: Callable[[], None] = lambda: None

    async def load(self, entry: CatalogEntry) -> AdapterFile:
        assert isinstance(entry.source, PathFile)
        path = entry.source.path
        self.asked.append(path)
        fault = self.faults.get(path)
        try:
            if isinstance(fault, asyncio.Event):
                await fault.wait()
            elif fault is not None:
                raise fault
        except asyncio.CancelledError:
            self.cancelled.append(path)
            raise
        self.on_bring()
        parts = (PartInfo("down", "F16", (4, 8)), PartInfo("up", "F16", (8, 4)))
        facts = AdapterFacts(AdapterFormat.KOHYA, (file_module("unet", "mid_block", parts),), 10)
        return AdapterFile(Path(path), f"sha-of-{path}", facts)

    def forget(self, source: FileSource) -> None:
        pass

    def discard(self, file: AdapterFile) -> None:
        self.discarded.append(file.sha256)


@dataclass
class Device:
    """What the engine holds."""

    there: set[str] = field(default_factory=set)
    pinned: set[str] = field(default_factory=set)

    def on_device(self) -> frozenset[str]:
        return frozenset(self.there)

    def forget(self, identity: str) -> None:
        self.there.discard(identity)

    def pin(self, identities: Collection[str]) -> None:
        self.pinned = set(identities)


@dataclass
class Bench:
    """A registry with everything around it in the test's hands."""

    modules: Modules = field(default_factory=dict)
    bound_bytes: int = 100
    make_index: Callable[[Changes], CatalogIndex] = CatalogIndex
    sources: Sources = field(default_factory=Sources)
    device: Device = field(default_factory=Device)
    changes: Changes = field(default_factory=Changes)
    warm: asyncio.Event = field(default_factory=asyncio.Event)
    reads: list[str] = field(default_factory=list)
    missing: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.warm.set()
        self.memory = HostCache(self.bound_bytes, self)
        self.registry = Registry(
            self.changes,
            self.sources,
            self.memory,
            self.device,
            self._check,
            self._near,
            backoff=lambda: Backoff(0.0, 0.0),
            index=self.make_index(self.changes),
        )

    async def _check(self, file: AdapterFile) -> None:
        await self.warm.wait()
        check_fits(file.facts, self.modules)
        await self.memory.check(file)

    async def _near(self, adapter: HostAdapter) -> None:
        self.device.there.add(adapter.identity)

    async def read(self, file: AdapterFile, ticket: Ticket) -> HostAdapter:
        if file.sha256 in self.missing:
            raise FileNotFoundError(file.path)
        self.reads.append(file.sha256)
        await asyncio.sleep(0)
        return StubAdapter(file.identity, file.sha256, 40)

    def hurry(self, ticket: Ticket) -> None:
        pass

    async def take(self, name: str) -> HostAdapter:
        """As a request does: the choice, then the weights."""
        (chosen,) = self.registry.weights.take([AdapterUse(key=f"default/{name}")])
        return await self.registry.weights.load(chosen)

    def apply(self, *entries: CatalogEntry) -> None:
        self.registry.replace(Catalog.of(entries))

    def phase(self, name: str) -> str:
        return self.registry.states()[f"default/{name}"].phase

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not holds():
                await self.changes.beyond(self.changes.version, 0.05)

    async def ready(self, *names: str) -> None:
        await self.until(lambda: all(self.phase(n) is AdapterPhase.READY for n in names))


async def test_one_that_fails_and_one_that_hangs_hold_up_no_other() -> None:
    bench = Bench()
    bench.sources.faults = {
        "/a/bad": AdapterError(Reason.NOT_A_LORA, "a whole model"),
        "/a/slow": asyncio.Event(),
        "/a/odd": ZeroDivisionError("a defect"),
    }
    bench.apply(*(entry(n) for n in ("bad", "slow", "odd", "good")))
    await bench.ready("good")
    await bench.until(lambda: bench.phase("odd") is AdapterPhase.FAILED)

    states = bench.registry.states()
    assert (states["default/bad"].reason, states["default/bad"].message) == (Reason.NOT_A_LORA, "a whole model")
    assert states["default/odd"].reason is Reason.INTERNAL_ERROR
    assert bench.phase("slow") is AdapterPhase.DOWNLOADING


async def test_what_may_pass_is_tried_again() -> None:
    bench = Bench()
    bench.sources.faults["/a/one"] = AdapterError(Reason.SOURCE_UNAVAILABLE, "503")
    bench.apply(entry("one"))
    await bench.until(lambda: bench.phase("one") is AdapterPhase.FAILED)
    bench.sources.faults.clear()
    await bench.ready("one")


async def test_what_will_not_pass_is_not_tried_until_the_entry_changes() -> None:
    bench = Bench()
    bench.sources.faults["/a/one"] = AdapterError(Reason.CHECKSUM_MISMATCH, "other")
    bench.apply(entry("one"))
    await bench.until(lambda: bench.phase("one") is AdapterPhase.FAILED)
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
    await bench.until(lambda: bench.phase("one") is AdapterPhase.LOADING)
    bench.warm.set()
    await bench.until(lambda: bench.phase("one") is AdapterPhase.FAILED)
    assert bench.registry.states()["default/one"].reason is Reason.BASE_MODEL_MISMATCH
    assert bench.reads == []


async def test_a_removed_adapter_leaves_memory_and_stops_its_download() -> None:
    bench = Bench()
    bench.sources.faults["/a/slow"] = asyncio.Event()
    bench.apply(entry("one"), entry("slow"))
    await bench.ready("one")
    bench.device.there.add("sha-of-/a/one")
    bench.apply()
    await bench.until(lambda: bench.sources.cancelled == ["/a/slow"])
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
    bench.sources.on_bring = bench.missing.clear


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


async def test_a_file_that_vanishes_while_it_is_brought_is_tried_again() -> None:
    bench = Bench()
    bench.sources.faults["/a/one"] = FileNotFoundError("evicted")
    bench.apply(entry("one"))
    await bench.until(lambda: bench.phase("one") is AdapterPhase.FAILED)
    assert bench.registry.states()["default/one"].reason is Reason.SOURCE_UNAVAILABLE
    del bench.sources.faults["/a/one"]
    await bench.ready("one")


async def test_one_bad_adapter_of_a_stack_refuses_the_stack() -> None:
    bench = Bench()
    bench.apply(entry("one"))
    await bench.ready("one")
    with pytest.raises(RequestError) as refused:
        bench.registry.weights.take([AdapterUse(key="default/one"), AdapterUse(key="default/two")])
    assert refused.value.code is ErrorCode.UNKNOWN_ADAPTER


async def test_a_file_for_another_base_leaves_the_disk_and_one_that_is_served_stays() -> None:
    bench = Bench(modules={"unet": {"another_block": (8, 8)}})
    bench.apply(entry("wrong"), entry("twin", path="/a/wrong"))
    await bench.until(lambda: {bench.phase("wrong"), bench.phase("twin")} == {AdapterPhase.FAILED})
    assert bench.registry.states()["default/wrong"].reason is Reason.BASE_MODEL_MISMATCH
    assert set(bench.sources.discarded) == {"sha-of-/a/wrong"}
    bench.modules = {"unet": {"mid_block": (8, 8)}}
    bench.sources.discarded.clear()
    bench.apply(entry("good"))
    await bench.ready("good")
    assert bench.sources.discarded == []
