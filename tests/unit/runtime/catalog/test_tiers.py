"""Ten thousand adapters in a pod: what one request, one removal or one question costs does not grow with them."""

import asyncio
from collections.abc import Iterator
from functools import partial

import pytest
from tests.unit.runtime.catalog.bench import Bench, entry

from lorapool_api.wire.catalog import CatalogDelta
from lorapool_api.wire.state import AdapterPhase, Tier
from lorapool_common.changes import Changes
from lorapool_runtime.catalog.index import CatalogIndex
from lorapool_runtime.catalog.slot import CatalogSlot

ADAPTERS = 300


class WatchedIndex(CatalogIndex):
    """Knows the keys of the entries whose place was looked up, and of those that were iterated over."""

    def __init__(self, changes: Changes) -> None:
        super().__init__(changes)
        self.looks: list[str] = []

    def with_file(self, identity: str) -> list[CatalogSlot]:
        found = super().with_file(identity)
        self.looks += [slot.entry.key for slot in found]
        return found

    def __iter__(self) -> Iterator[CatalogSlot]:
        for slot in super().__iter__():
            self.looks.append(slot.entry.key)
            yield slot


@pytest.fixture
def watched() -> tuple[Bench, list[str]]:
    """A registry, and where it looks."""
    indexes: list[WatchedIndex] = []

    def make_index(changes: Changes) -> CatalogIndex:
        indexes.append(WatchedIndex(changes))
        return indexes[0]

    bench = Bench(make_index=make_index)
    return bench, indexes[0].looks


async def many(bench: Bench) -> None:
    bench.apply(*(entry(f"a{i}", sha256="0" * 64) for i in range(ADAPTERS)))
    await bench.ready(*(f"a{i}" for i in range(ADAPTERS)))


async def test_a_request_looks_only_at_the_adapters_that_moved(watched: tuple[Bench, list[str]]) -> None:
    bench, looks = watched
    await many(bench)
    bench.registry.tiers.refresh()
    looks.clear()
    bench.device.there.add("sha-of-/a/a7")
    bench.registry.tiers.refresh()
    bench.registry.tiers.refresh()
    assert looks == ["default/a7"]
    assert bench.registry.states(keys=["default/a7"])["default/a7"].tier is Tier.DEVICE


async def test_a_removal_looks_at_no_other_adapter(watched: tuple[Bench, list[str]]) -> None:
    bench, looks = watched
    await many(bench)
    digest = bench.registry.digest or ""
    looks.clear()
    bench.registry.patch(CatalogDelta(base=digest, digest="next", remove=("default/a1",)))
    assert len(looks) <= 1
    assert "default/a1" not in bench.registry.tiers.all()


async def test_what_moved_since_a_version_is_told_and_what_went() -> None:
    bench = Bench(bound_bytes=0)
    bench.sources.faults["/a/slow"] = asyncio.Event()
    bench.apply(entry("one"), entry("two"), entry("slow"))
    await bench.ready("one", "two")
    places, version = bench.registry.tiers, bench.changes.version
    assert places.since(version) == ({}, ())
    bench.device.there.add("sha-of-/a/one")
    bench.registry.tiers.refresh()
    assert places.since(version) == ({"default/one": Tier.DEVICE}, ())
    bench.apply(entry("one"), entry("slow"), entry("two", path="/a/slow"))
    assert places.since(version) == ({"default/one": Tier.DEVICE}, ("default/two",))
    version = bench.changes.version
    bench.apply(entry("slow"))
    there, gone = places.since(version) or ({}, ())
    assert (there, sorted(gone)) == ({}, ["default/one", "default/two"])
    assert bench.phase("slow") is AdapterPhase.DOWNLOADING


async def test_who_asks_too_late_gets_everything() -> None:
    bench = Bench(make_index=partial(CatalogIndex, removals_kept=3))
    bench.apply(*(entry(f"a{i}") for i in range(6)))
    version = bench.changes.version
    bench.apply()
    assert bench.registry.tiers.since(version) is None
    assert bench.registry.removed_since(version) is None
    assert bench.registry.tiers.since(bench.changes.version) == ({}, ())
