"""A catalog of which the pod holds little: what it does not hold takes no time and little memory."""

import asyncio
import itertools
from pathlib import Path

import pytest
from tests.unit.runtime.catalog.bench import Bench, entry

from lorapool_api.wire.catalog import Catalog, CatalogDelta
from lorapool_api.wire.reply import ErrorCode
from lorapool_api.wire.state import AdapterPhase
from lorapool_runtime.catalog.order.pacing import Pacing
from lorapool_runtime.catalog.saved import CatalogFile, CatalogWriter, SavedCatalog
from lorapool_runtime.errors import RequestError

MANY = Catalog.of([entry(f"a{number}") for number in range(500)])


def holding(*names: str) -> Bench:
    bench = Bench()
    bench.registry.hold(frozenset(f"default/{name}" for name in names))
    return bench


async def test_what_is_not_held_is_loaded_when_somebody_asks() -> None:
    bench = holding("a1")
    bench.apply(*MANY.entries)
    await bench.ready("a1")
    assert set(bench.registry.states()) == {"default/a1"}
    bench.registry.weights.request("default/a7")
    await bench.ready("a7")
    assert sorted(bench.sources.asked) == ["/a/a1", "/a/a7"]


async def test_what_is_asked_for_is_what_the_last_catalog_says() -> None:
    bench = holding()
    bench.apply(entry("one"))
    bench.apply(entry("one", generation=4))
    slot = bench.registry.slot("default/one")
    assert slot is not None
    assert (slot.phase, slot.entry.generation) == (AdapterPhase.REMOTE, 4)
    bench.apply()
    assert bench.registry.slot("default/one") is None


async def test_removing_what_nobody_was_told_of_is_not_told() -> None:
    bench = holding("a1")
    bench.apply(*MANY.entries)
    await bench.ready("a1")
    before = bench.changes.version
    bench.registry.patch(CatalogDelta(base=MANY.digest, digest="next", remove=("default/a2",)))
    assert bench.registry.removed_since(before) == ()
    bench.registry.patch(CatalogDelta(base="next", digest="last", remove=("default/a1",)))
    assert bench.registry.removed_since(before) == ("default/a1",)


async def test_a_catalog_that_was_applied_half_is_no_ground_for_a_delta() -> None:
    bench = holding()
    slices = bench.registry.replacing(MANY)
    list(itertools.islice(slices, 3))
    assert bench.registry.saved() is None  # half of it is not kept either
    slices.close()  # type: ignore[attr-defined]
    assert bench.registry.digest not in (None, MANY.digest)
    with pytest.raises(RequestError) as error:
        bench.registry.patch(CatalogDelta(base=MANY.digest, digest="next"))
    assert error.value.code is ErrorCode.DIGEST_MISMATCH
    bench.registry.replace(MANY)
    assert bench.registry.digest == MANY.digest


async def test_what_is_not_held_is_kept_for_the_next_process(tmp_path: Path) -> None:
    bench = holding("a1")
    bench.apply(*MANY.entries)
    await bench.ready("a1")
    saved = bench.registry.saved()
    assert saved is not None
    CatalogFile(tmp_path, "default/shapes").write(saved)
    read = CatalogFile(tmp_path, "default/shapes").read()
    assert read is not None
    assert Catalog.of(read.catalog.entries) == MANY
    assert (read.catalog.digest, read.held) == (MANY.digest, frozenset({"default/a1"}))


async def test_a_catalog_that_takes_long_to_write_is_written_more_rarely(tmp_path: Path) -> None:
    clock, pauses = itertools.count(step=3), asyncio.Queue[float]()

    async def pause(seconds: float) -> None:
        await pauses.put(seconds)
        await asyncio.Event().wait()

    writer = CatalogWriter(CatalogFile(tmp_path, "p"), lambda: SavedCatalog(MANY), pause, lambda: float(next(clock)))
    writer.changed()
    writing = asyncio.create_task(writer.run())
    assert await pauses.get() == 150.0
    writing.cancel()


async def test_a_few_begin_in_each_turn_and_in_their_order() -> None:
    pacing, begun, seen = Pacing(at_once=3), list[int](), list[int]()

    async def one(number: int) -> None:
        await pacing.turn()
        begun.append(number)

    tasks = [asyncio.create_task(one(number)) for number in range(20)]
    while len(begun) < 20:
        await asyncio.sleep(0)
        seen.append(len(begun))
    await asyncio.gather(*tasks)
    assert begun == list(range(20))
    assert max(after - before for before, after in itertools.pairwise([0, *seen])) <= 3


async def test_one_that_is_cancelled_takes_nobodys_turn() -> None:
    pacing = Pacing(at_once=1)
    first, second = asyncio.create_task(pacing.turn()), asyncio.create_task(pacing.turn())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait_for(second, 5)


async def test_only_files_that_no_request_waits_for_are_brought_ahead() -> None:
    bench = Bench()
    bench.registry.hold(frozenset({"default/held", "default/also-held"}))
    bench.apply(entry("held"), entry("also-held"), entry("asked"))
    await bench.ready("held", "also-held")
    assert bench.sources.ahead == 2
    await bench.registry.weights.until_loaded(["default/asked"], 10.0)
    assert bench.phase("asked") is AdapterPhase.READY
    assert (len(bench.sources.asked), bench.sources.ahead) == (3, 2)
