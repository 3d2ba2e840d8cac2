"""Who is read first: what a request waits for, before all that nobody waits for."""

import asyncio
import threading
from pathlib import Path

from tests.waiting import until

from lorapool_api.kinds.adapter import AdapterFormat
from lorapool_api.lora.facts import AdapterFacts
from lorapool_api.lora.modules import file_layout
from lorapool_runtime.adapters.file import AdapterFile, HostAdapter
from lorapool_runtime.catalog.host.cache import HostCache
from lorapool_runtime.catalog.host.readers import Readers
from lorapool_runtime.engine.stub import StubAdapter

REGISTRATIONS, THREADS = 400, 2


def file(name: str, size_bytes: int = 10) -> AdapterFile:
    return AdapterFile(Path(name), name, AdapterFacts(AdapterFormat.KOHYA, file_layout((), ()), size_bytes))


class Disk:
    """Reads one file for each time that the test lets it."""

    def __init__(self, bound_bytes: int = 100) -> None:
        self.turns = threading.Semaphore(0)
        self.begun: list[str] = []
        self.growth = 1
        self.readers = Readers(self._read, THREADS)
        self.memory = HostCache(bound_bytes, self.readers)

    def _read(self, file: AdapterFile) -> HostAdapter:
        self.begun.append(file.identity)
        assert self.turns.acquire(timeout=30)
        return StubAdapter(file.identity, file.sha256, self.growth * file.facts.size_bytes)

    async def until_begun(self, count: int) -> None:
        await until(lambda: len(self.begun) >= count)

    def let(self, reads: int) -> None:
        self.turns.release(reads)


async def test_a_requests_read_waits_only_for_the_reads_that_run() -> None:
    disk = Disk()
    registrations = [asyncio.create_task(disk.memory.check(file(f"r{i}"))) for i in range(REGISTRATIONS)]
    await disk.until_begun(THREADS)
    request = asyncio.create_task(disk.memory.load(file("wanted")))
    # One that is to be read for its registration, long after this.
    registered = asyncio.create_task(disk.memory.load(file(f"r{REGISTRATIONS - 1}")))
    await asyncio.sleep(0)
    disk.let(THREADS)
    await disk.until_begun(2 * THREADS)
    assert sorted(disk.begun[THREADS:]) == [f"r{REGISTRATIONS - 1}", "wanted"]
    disk.let(REGISTRATIONS)
    async with asyncio.timeout(60):
        await asyncio.gather(request, registered, *registrations)
    assert sorted(disk.begun) == sorted({*(f"r{i}" for i in range(REGISTRATIONS)), "wanted"}), "each was read once"
    disk.readers.close()


async def test_registrations_flush_nothing_out_of_memory() -> None:
    disk = Disk(bound_bytes=100)
    disk.let(100)
    used = [f"used{i}" for i in range(8)]
    for name in used:
        await disk.memory.load(file(name))
    for i in range(20):
        await disk.memory.check(file(f"new{i}"))
    assert all(disk.memory.holds(name) for name in used)
    assert disk.memory.size_bytes <= 100
    await disk.memory.load(file("new19"))
    assert disk.memory.holds("new19"), "what is used comes all the same"
    disk.readers.close()


async def test_what_is_held_stays_and_counts() -> None:
    disk = Disk(bound_bytes=30)
    disk.let(100)
    held = await disk.memory.load(file("held"))
    disk.memory.hold(held)
    for i in range(5):
        await disk.memory.load(file(f"other{i}"))
    assert disk.memory.holds("held")
    assert disk.memory.size_bytes <= 30
    assert disk.memory.fits([file("a"), file("b")])
    assert not disk.memory.fits([file("a"), file("b"), file("c")])
    disk.memory.drop("held")
    assert disk.memory.holds("held"), "somebody works with it"
    disk.memory.release("held")
    assert not disk.memory.holds("held")
    disk.readers.close()


async def test_room_is_made_before_a_file_is_read() -> None:
    disk = Disk(bound_bytes=30)
    disk.let(3)
    for name in "abc":
        await disk.memory.load(file(name))
    coming = asyncio.create_task(disk.memory.load(file("d", 20)))
    await disk.until_begun(4)
    assert disk.memory.size_bytes == 10
    disk.let(1)
    await coming
    assert disk.memory.size_bytes == 30
    disk.readers.close()


async def test_room_is_reckoned_by_what_files_have_become_in_memory() -> None:
    disk = Disk(bound_bytes=100)
    disk.growth = 2
    disk.let(1)
    assert disk.memory.fits([file(f"a{i}") for i in range(10)])
    disk.memory.hold(await disk.memory.load(file("first")))
    assert disk.memory.fits([file(f"a{i}") for i in range(4)])
    assert not disk.memory.fits([file(f"a{i}") for i in range(5)])
    disk.readers.close()


async def test_a_read_that_is_given_up_leaves_its_turn_to_others() -> None:
    disk = Disk()
    first = [asyncio.create_task(disk.memory.load(file(f"a{i}"))) for i in range(THREADS)]
    await disk.until_begun(THREADS)
    given_up = asyncio.create_task(disk.memory.load(file("gone")))
    await asyncio.sleep(0)
    given_up.cancel()
    last = asyncio.create_task(disk.memory.load(file("last")))
    disk.let(10)
    async with asyncio.timeout(30):
        await asyncio.gather(*first, last)
    disk.readers.close()
