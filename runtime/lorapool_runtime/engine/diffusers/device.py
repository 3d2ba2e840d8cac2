"""Adapters on the device: one copy of a flat buffer each, bounded, the least recently used ones leave first."""

import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

import torch

from lorapool_api.conditions import Reason
from lorapool_runtime.errors import AdapterError
from lorapool_runtime.formats.weights import LoraAdapter
from lorapool_runtime.layers.switchboard import Loaded


class DeviceMemory:
    """What is on the device.

    The engine's thread brings what it needs; another may look ahead. What is in use or pinned is never evicted: the
    bound is for the rest.
    """

    def __init__(self, device: torch.device, bound_bytes: int) -> None:
        self._device = device
        self._bound_bytes = bound_bytes
        self._residents: OrderedDict[str, Loaded] = OrderedDict()
        self._in_use: frozenset[str] = frozenset()
        self._pinned: frozenset[str] = frozenset()
        self._lock = threading.Lock()
        self._copying = threading.Lock()
        self._stream: Any = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]

    def use(self, identities: Iterable[str]) -> None:
        """From now on these are what runs."""
        with self._lock:
            self._in_use = frozenset(identities)

    def pin(self, identities: Iterable[str]) -> None:
        """From now on these stay, once they are here."""
        with self._lock:
            self._pinned = frozenset(identities)

    def bring(self, adapter: LoraAdapter) -> Loaded:
        """The adapter on the device. Evicts others where that needs room. Raises: AdapterError: there is no room."""
        found = self._find(adapter.identity)
        if found is not None:
            return found
        # One copy at a time: two threads may want the same adapter, and two copies are no faster than one.
        with self._copying:
            found = self._find(adapter.identity)
            if found is not None:
                return found
            self._evict(self._bound_bytes - adapter.size_bytes, adapter.identity)
            resident = adapter.loaded(self._copied(adapter))
            with self._lock:
                self._residents[adapter.identity] = resident
            return resident

    def identities(self) -> frozenset[str]:
        with self._lock:
            return frozenset(self._residents)

    @property
    def size_bytes(self) -> int:
        """Memory that adapters take."""
        with self._lock:
            return sum(r.size_bytes for r in self._residents.values())

    def forget(self, identity: str) -> None:
        with self._lock:
            self._residents.pop(identity, None)

    def _find(self, identity: str) -> Loaded | None:
        with self._lock:
            found = self._residents.get(identity)
            if found is not None:
                self._residents.move_to_end(identity)
            return found

    def _copied(self, adapter: LoraAdapter) -> torch.Tensor:
        try:
            return self._copy(adapter.flat)
        except torch.OutOfMemoryError:
            self._evict(0, adapter.identity)
        torch.cuda.empty_cache()
        try:
            return self._copy(adapter.flat)
        except torch.OutOfMemoryError as error:
            message = f"the device has no room for the adapter's {adapter.size_bytes} bytes"
            raise AdapterError(Reason.POD_FAILED, message, transient=True) from error

    def _copy(self, flat: torch.Tensor) -> torch.Tensor:
        if self._stream is None:
            return flat.to(self._device)
        # Beside the kernels of what runs now; nobody gets it before it is whole.
        with torch.cuda.stream(self._stream):
            copied = flat.to(self._device, non_blocking=True)
        self._stream.synchronize()
        # Its memory must not be given to the next copy while kernels of the main stream still read it.
        copied.record_stream(torch.cuda.default_stream(self._device))
        return copied

    def _evict(self, bound_bytes: int, wanted: str) -> None:
        with self._lock:
            size = sum(r.size_bytes for r in self._residents.values())
            for identity in list(self._residents):
                if size <= bound_bytes:
                    return
                if identity != wanted and identity not in self._in_use and identity not in self._pinned:
                    size -= self._residents.pop(identity).size_bytes
