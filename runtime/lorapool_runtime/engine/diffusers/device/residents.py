"""Adapters on the device: one copy of a flat buffer each, bounded, the least recently used ones leave first."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable

import torch

from lorapool_api.kinds.conditions import Reason
from lorapool_runtime.engine.diffusers.device.accelerator import Accelerator
from lorapool_runtime.engine.diffusers.layers.switchboard import DeviceAdapter
from lorapool_runtime.engine.diffusers.weights.read import LoraAdapter
from lorapool_runtime.errors import AdapterError


def _nothing() -> None:
    """There is nothing else to free."""


class DeviceMemory:
    """What is on the device.

    The engine's thread brings what it needs; another may prefetch. What is in use or pinned is never evicted: the
    bound is for the rest.

    Attributes:
        evictions: how many have left so far because others needed the room.
    """

    def __init__(self, accelerator: Accelerator, bound_bytes: int, beside: Callable[[], int] = lambda: 0) -> None:
        """`beside` tells how much else of the bound is taken: by weights that adapters were merged into."""
        self._accelerator = accelerator
        self.bound_bytes = bound_bytes
        self._beside = beside
        # No library's cache: what is in use or pinned must stay, and merged weights take of the same bound.
        self._residents: OrderedDict[str, DeviceAdapter] = OrderedDict()
        self._in_use: frozenset[str] = frozenset()
        self._pinned: frozenset[str] = frozenset()
        self._is_open = True
        self.evictions = 0
        self._lock = threading.Lock()
        self._copying = threading.Lock()

    def use(self, identities: Iterable[str]) -> None:
        """From now on these are what runs."""
        with self._lock:
            self._in_use = frozenset(identities)

    def pin(self, identities: Iterable[str]) -> None:
        """From now on these stay, once they are here."""
        with self._lock:
            self._pinned = frozenset(identities)

    def load(self, adapter: LoraAdapter, free: Callable[[], None] = _nothing) -> DeviceAdapter:
        """The adapter on the device. Evicts others where that needs room.

        Args:
            free: gives up what else can be had again, before the last try.

        Raises:
            AdapterError: there is no room, or the base sleeps.
        """
        found = self._find(adapter.identity)
        if found is not None:
            return found
        # One copy at a time: two threads may want the same adapter, and two copies are no faster than one.
        with self._copying:
            found = self._find(adapter.identity)
            if found is not None:
                return found
            if not self._is_open:
                raise AdapterError(Reason.POD_FAILED, "the base model sleeps", transient=True)
            self._evict(self.bound_bytes - self._beside() - adapter.size_bytes, adapter.identity)
            resident = adapter.device_adapter(self._copied(adapter, free))
            with self._lock:
                self._residents[adapter.identity] = resident
            return resident

    def make_room(self, size_bytes: int) -> None:
        """Evict until so much more fits into the bound, or all that is left is in use or pinned."""
        self._evict(self.bound_bytes - self._beside() - size_bytes)

    def evict_unused(self) -> None:
        """Keep only what is in use or pinned."""
        self._evict(0)

    def close(self) -> None:
        """Let go of all, of what is in use or pinned too, and take nothing until `open`."""
        with self._copying, self._lock:
            self._is_open = False
            self._in_use = frozenset()
            self._residents.clear()

    def open(self) -> None:
        with self._lock:
            self._is_open = True

    def identities(self) -> frozenset[str]:
        with self._lock:
            return frozenset(self._residents)

    @property
    def size_bytes(self) -> int:
        """Memory that adapters take."""
        with self._lock:
            return sum(r.size_bytes for r in self._residents.values())

    @property
    def kept_bytes(self) -> int:
        """Memory that cannot be had for anything else: of what is in use or pinned."""
        with self._lock:
            kept = self._in_use | self._pinned
            return sum(r.size_bytes for identity, r in self._residents.items() if identity in kept)

    def forget(self, identity: str) -> None:
        with self._lock:
            self._residents.pop(identity, None)

    def _find(self, identity: str) -> DeviceAdapter | None:
        with self._lock:
            found = self._residents.get(identity)
            if found is not None:
                self._residents.move_to_end(identity)
            return found

    def _copied(self, adapter: LoraAdapter, free: Callable[[], None]) -> torch.Tensor:
        try:
            return self._accelerator.upload(adapter.flat)
        except torch.OutOfMemoryError:
            self._evict(0, adapter.identity)
        free()
        self._accelerator.empty_cache()
        try:
            return self._accelerator.upload(adapter.flat)
        except torch.OutOfMemoryError as error:
            message = f"the device has no room for the adapter's {adapter.size_bytes} bytes"
            raise AdapterError(Reason.POD_FAILED, message, transient=True) from error

    def _evict(self, bound_bytes: int, wanted: str | None = None) -> None:
        with self._lock:
            size = sum(r.size_bytes for r in self._residents.values())
            for identity in list(self._residents):
                if size <= bound_bytes:
                    return
                if identity != wanted and identity not in self._in_use and identity not in self._pinned:
                    size -= self._residents.pop(identity).size_bytes
                    self.evictions += 1
