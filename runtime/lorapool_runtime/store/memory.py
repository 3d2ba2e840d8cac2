"""Adapters in host memory: loaded once however many ask, the least recently used ones leave first."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from lorapool_runtime.store.files import AdapterFile, HostAdapter


class HostMemory:
    """A bounded cache on the event loop.

    What a request holds stays in memory until it lets go, evicted or not: the bound is for what nobody uses.
    """

    def __init__(self, bound_bytes: int, read: Callable[[AdapterFile], Awaitable[HostAdapter]]) -> None:
        self._bound_bytes = bound_bytes
        self._read = read
        self._kept: OrderedDict[str, HostAdapter] = OrderedDict()
        self._coming: dict[str, asyncio.Task[HostAdapter]] = {}

    async def get(self, file: AdapterFile) -> HostAdapter:
        """The adapter, from memory or from disk. Raises: AdapterError."""
        if file.identity in self._kept:
            self._kept.move_to_end(file.identity)
            return self._kept[file.identity]
        task = self._coming.get(file.identity)
        if task is None:
            task = self._coming[file.identity] = asyncio.create_task(self._bring(file))
        # The one who started it may go away; the others still want it.
        return await asyncio.shield(task)

    @property
    def size_bytes(self) -> int:
        """Memory that adapters take which nobody needs to be using."""
        return sum(a.size_bytes for a in self._kept.values())

    def holds(self, identity: str) -> bool:
        return identity in self._kept

    def drop(self, identity: str) -> None:
        """Nobody wants it any more; what is on its way leaves as soon as it has come."""
        self._kept.pop(identity, None)
        if identity in self._coming:
            self._coming[identity].add_done_callback(lambda _: self._kept.pop(identity, None))

    async def _bring(self, file: AdapterFile) -> HostAdapter:
        try:
            adapter = await self._read(file)
        finally:
            del self._coming[file.identity]
        self._kept[file.identity] = adapter
        self._make_room()
        return adapter

    def _make_room(self) -> None:
        size = self.size_bytes
        while size > self._bound_bytes and self._kept:
            _, evicted = self._kept.popitem(last=False)
            size -= evicted.size_bytes
