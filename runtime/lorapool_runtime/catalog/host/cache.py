"""Adapters in host memory: loaded once however many ask, the least recently used ones leave first."""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass
from typing import Protocol

from lorapool_runtime.adapters.file import AdapterFile, HostAdapter
from lorapool_runtime.catalog.host.readers import Ticket


class Reads(Protocol):
    """Where adapters are read."""

    def read(self, file: AdapterFile, ticket: Ticket) -> Awaitable[HostAdapter]: ...
    def hurry(self, ticket: Ticket) -> None: ...


@dataclass
class _Read:
    """A read under way.

    Attributes:
        is_wanted: somebody needs the adapter in memory, and not only to know that it can be read.
    """

    task: asyncio.Task[HostAdapter]
    ticket: Ticket
    size_bytes: int
    is_wanted: bool


class HostCache:
    """A bounded cache on the event loop. Room for what is read is made before it is read.

    What is held stays, and what is only checked displaces nothing: no cache of a library knows either.
    `size_bytes` counts what is held too, so it is all that adapters take, but for files that are only checked.

    Attributes:
        evictions: how many have left so far because others needed the room.
    """

    def __init__(self, bound_bytes: int, readers: Reads) -> None:
        self._bound_bytes = bound_bytes
        self._readers = readers
        self._kept: OrderedDict[str, HostAdapter] = OrderedDict()
        self._size_bytes = 0
        self._held: Counter[str] = Counter()
        self._dropped: set[str] = set()
        self._reads: dict[str, _Read] = {}
        self._moved: set[str] = set()
        self._growth = 1.0
        self.evictions = 0

    @property
    def size_bytes(self) -> int:
        """Memory that adapters take."""
        return self._size_bytes

    def holds(self, identity: str) -> bool:
        """Whether the adapter is here."""
        return identity in self._kept

    def kept(self) -> Iterable[HostAdapter]:
        """All that are here, the least recently used ones first."""
        return self._kept.values()

    def moved(self) -> frozenset[str]:
        """What has come or gone since the last call."""
        moved = frozenset(self._moved)
        self._moved.clear()
        return moved

    # ---- taking ------------------------------------------------------------------------------------------------

    def get(self, identity: str) -> HostAdapter | None:
        """The adapter if it is here."""
        if identity not in self._kept:
            return None
        self._kept.move_to_end(identity)
        return self._kept[identity]

    async def load(self, file: AdapterFile) -> HostAdapter:
        """The adapter, from memory or from disk, before whatever nobody waits for. Raises: AdapterError."""
        found = self.get(file.identity)
        if found is not None:
            return found
        read = self._reads.get(file.identity)
        if read is None:
            read = self._begin(file, is_wanted=True)
        elif not read.is_wanted:
            read.is_wanted = True
            self._make_room(self._reading_bytes())
            self._readers.hurry(read.ticket)
        # The one who started it may go away; the others still want it.
        return await asyncio.shield(read.task)

    async def check(self, file: AdapterFile) -> None:
        """Read it once, to know that it can be read. It stays only where nothing must leave for it.

        Raises: AdapterError.
        """
        if file.identity in self._kept:
            return
        read = self._reads.get(file.identity) or self._begin(file, is_wanted=False)
        await asyncio.shield(read.task)

    def fits(self, files: Iterable[AdapterFile]) -> bool:
        """Whether they have room beside what is held and on its way."""
        new = (f for f in files if f.identity not in self._held and f.identity not in self._reads)
        taken = sum(self._kept[identity].size_bytes for identity in self._held if identity in self._kept)
        return taken + self._reading_bytes() + sum(map(self._size_of, new)) <= self._bound_bytes

    # ---- holding -----------------------------------------------------------------------------------------------

    def hold(self, adapter: HostAdapter) -> None:
        """It stays here until it is released as often as it was held."""
        if adapter.identity not in self._kept:
            self._put(adapter)
        self._held[adapter.identity] += 1
        self._make_room(0)

    def release(self, identity: str) -> None:
        self._held[identity] -= 1
        if self._held[identity] > 0:
            return
        del self._held[identity]
        if identity in self._dropped:
            self._dropped.discard(identity)
            self._pop(identity)
        self._make_room(0)

    def drop(self, identity: str) -> None:
        """Nobody wants it any more; what is on its way leaves as soon as it has come."""
        if identity in self._held:
            self._dropped.add(identity)
        else:
            self._pop(identity)
        if identity in self._reads:
            self._reads[identity].task.add_done_callback(lambda _: self._pop_unless_held(identity))

    # ---- reading -----------------------------------------------------------------------------------------------

    def _begin(self, file: AdapterFile, *, is_wanted: bool) -> _Read:
        ticket = Ticket(is_urgent=is_wanted)
        task = asyncio.create_task(self._read(file, ticket), name=f"read {file.identity[:12]}")
        read = self._reads[file.identity] = _Read(task, ticket, self._size_of(file), is_wanted)
        return read

    async def _read(self, file: AdapterFile, ticket: Ticket) -> HostAdapter:
        try:
            self._make_room(self._reading_bytes())
            adapter = await self._readers.read(file, ticket)
        finally:
            read = self._reads.pop(file.identity)
        self._growth = max(self._growth, adapter.size_bytes / max(1, file.facts.size_bytes))
        room = self._bound_bytes - self._reading_bytes() - self._size_bytes
        if read.is_wanted or adapter.size_bytes <= room:
            self._put(adapter)
            if not read.is_wanted:
                self._kept.move_to_end(adapter.identity, last=False)
            self._make_room(0)
        return adapter

    def _size_of(self, file: AdapterFile) -> int:
        """What it will take, by its file and what others took: a base of float32 makes twice as much of a float16."""
        return round(file.facts.size_bytes * self._growth)

    def _reading_bytes(self) -> int:
        return sum(read.size_bytes for read in self._reads.values() if read.is_wanted)

    def _put(self, adapter: HostAdapter) -> None:
        self._kept[adapter.identity] = adapter
        self._size_bytes += adapter.size_bytes
        self._dropped.discard(adapter.identity)
        self._moved.add(adapter.identity)

    def _pop(self, identity: str) -> None:
        adapter = self._kept.pop(identity, None)
        if adapter is not None:
            self._size_bytes -= adapter.size_bytes
            self._moved.add(identity)

    def _pop_unless_held(self, identity: str) -> None:
        if identity not in self._held:
            self._pop(identity)

    def _make_room(self, extra_bytes: int) -> None:
        """Within the bound, as far as what is not held can leave for it."""
        if self._size_bytes + extra_bytes <= self._bound_bytes:
            return
        for identity in list(self._kept):
            if identity not in self._held:
                self._pop(identity)
                self.evictions += 1
            if self._size_bytes + extra_bytes <= self._bound_bytes:
                return
