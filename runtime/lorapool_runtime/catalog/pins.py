"""Adapters that shall stay on the device: loaded there before anyone asks."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable
from functools import partial
from typing import Protocol

import structlog

from lorapool_runtime.adapters.file import AdapterFile, HostAdapter
from lorapool_runtime.catalog.host.cache import HostCache
from lorapool_runtime.errors import AdapterError

log = structlog.get_logger(__name__)


class DeviceCache(Protocol):
    """The adapters on the device; the engine decides which of them stay, but for those that are pinned."""

    def on_device(self) -> frozenset[str]: ...
    def pin(self, identities: Collection[str]) -> None: ...
    def forget(self, identity: str) -> None: ...


class Pins:
    """Loads pinned adapters to the device. Lives on the event loop."""

    def __init__(
        self,
        device: DeviceCache,
        memory: HostCache,
        load: Callable[[HostAdapter], Awaitable[None]],
        on_moved: Callable[[], None],
    ) -> None:
        """`load` copies an adapter to the device; `on_moved` is called after it."""
        self._device = device
        self._memory = memory
        self._load = load
        self._on_moved = on_moved
        self._pinned: dict[str, AdapterFile] = {}
        self._coming: dict[str, asyncio.Task[None]] = {}

    def set_pinned(self, files: Iterable[AdapterFile]) -> None:
        """These files' adapters, and no others, stay on the device."""
        wanted = {file.identity: file for file in files}
        if wanted.keys() == self._pinned.keys():
            return
        self._pinned = wanted
        self._device.pin(frozenset(wanted))
        self.reload()

    def reload(self) -> None:
        """Load those that are not on the device, where all of them have left it."""
        for identity, file in self._pinned.items():
            if identity not in self._device.on_device() and identity not in self._coming:
                task = self._coming[identity] = asyncio.create_task(self._near(file), name=f"pin {identity[:12]}")
                task.add_done_callback(partial(self._arrived, identity))

    def _arrived(self, identity: str, _: "asyncio.Task[None]") -> None:
        del self._coming[identity]

    async def _near(self, file: AdapterFile) -> None:
        try:
            await self._load(await self._memory.load(file))
        except (AdapterError, FileNotFoundError) as error:
            # It is pinned all the same: its first request loads it.
            log.warning("a pinned adapter did not get to the device", adapter=file.identity[:12], error=str(error))
        self._on_moved()

    async def close(self) -> None:
        tasks = list(self._coming.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
