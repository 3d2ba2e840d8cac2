"""Ten thousand adapters in a pod: what one request, one removal or one question costs does not grow with them."""

import asyncio
from collections.abc import Iterator

import pytest
from tests.unit.runtime.test_registry import Bench, entry

from lorapool_api.wire.catalog import CatalogDelta
from lorapool_api.wire.state import AdapterPhase, Tier
from lorapool_runtime.catalog import index
from lorapool_runtime.catalog.slot import CatalogSlot

ADAPTERS = 300


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keys of the entries whose place was looked up, and those that were iterated over."""
    seen: list[str] = []
    of, everything = index.CatalogIndex.with_file, index.CatalogIndex.__iter__

    def with_file(self: index.CatalogIndex, identity: str) -> list[CatalogSlot]:
        found = of(self, identity)
        seen.extend(slot.entry.key for slot in found)
        return found

    def iterate(self: index.CatalogIndex) -> Iterator[CatalogSlot]:
        for slot in everything(self):
            seen.append(slot.entry.key)
            yield slot

    monkeypatch.setattr(index.CatalogIndex, "with_file", with_file)
    monkeypatch.setattr(index.CatalogIndex, "__iter__", iterate)
    return seen


async def many(bench: Bench) -> None:
    bench.apply(*(entry(f"a{i}", sha256="0" * 64) for i in range(ADAPTERS)))
    await bench.ready(*(f"a{i}" for i in range(ADAPTERS)))


async def test_a_request_looks_only_at_the_adapters_that_moved(looks: list[str]) -> None:
    bench = Bench()
    await many(bench)
    bench.registry.refresh_tiers()
    looks.clear()
    bench.device.there.add("sha-of-/a/a7")
    bench.registry.refresh_tiers()
    bench.registry.refresh_tiers()
    assert looks == ["default/a7"]
    assert bench.registry.states(keys=["default/a7"])["default/a7"].tier is Tier.DEVICE


async def test_a_removal_looks_at_no_other_adapter(looks: list[str]) -> None:
    bench = Bench()
    await many(bench)
    digest = bench.registry.digest or ""
    looks.clear()
    bench.registry.patch(CatalogDelta(base=digest, digest="next", remove=("default/a1",)))
    assert len(looks) <= 1
    assert "default/a1" not in bench.registry.tiers()


async def test_what_moved_since_a_version_is_told_and_what_went() -> None:
    bench = Bench(bound_bytes=0)
    bench.sources.faults["/a/slow"] = asyncio.Event()
    bench.apply(entry("one"), entry("two"), entry("slow"))
    await bench.ready("one", "two")
    places, version = bench.registry.tier_index, bench.versions.current
    assert places.since(version) == ({}, ())
    bench.device.there.add("sha-of-/a/one")
    bench.registry.refresh_tiers()
    assert places.since(version) == ({"default/one": Tier.DEVICE}, ())
    bench.apply(entry("one"), entry("slow"), entry("two", path="/a/slow"))
    assert places.since(version) == ({"default/one": Tier.DEVICE}, ("default/two",))
    version = bench.versions.current
    bench.apply(entry("slow"))
    there, gone = places.since(version) or ({}, ())
    assert (there, sorted(gone)) == ({}, ["default/one", "default/two"])
    assert bench.phase("slow") is AdapterPhase.DOWNLOADING


async def test_who_asks_too_late_gets_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "_REMOVALS_KEPT", 3)
    bench = Bench()
    bench.apply(*(entry(f"a{i}") for i in range(6)))
    version = bench.versions.current
    bench.apply()
    assert bench.registry.tier_index.since(version) is None
    assert bench.registry.removed_since(version) is None
    assert bench.registry.tier_index.since(bench.versions.current) == ({}, ())
