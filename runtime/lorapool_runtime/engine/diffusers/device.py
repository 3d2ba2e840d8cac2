"""Adapters on the device: one copy of a flat buffer each, bounded, the least recently used ones leave first."""

import threading
from collections import OrderedDict
from collections.abc import Collection

import torch

from lorapool_api.conditions import Reason
from lorapool_runtime.errors import AdapterError
from lorapool_runtime.formats.weights import LoraAdapter
from lorapool_runtime.layers.switchboard import Loaded


class DeviceMemory:
    """What is on the device. Filled by the engine's thread; other threads only look and forget."""

    def __init__(self, device: torch.device, bound_bytes: int) -> None:
        self._device = device
        self._bound_bytes = bound_bytes
        self._residents: OrderedDict[str, Loaded] = OrderedDict()
        self._lock = threading.Lock()

    def bring(self, adapter: LoraAdapter, in_use: Collection[str]) -> Loaded:
        """The adapter on the device. Evicts others where that needs room, never those of `in_use`.

        Raises:
            AdapterError: the device has no room for it.
        """
        with self._lock:
            found = self._residents.get(adapter.identity)
            if found is not None:
                self._residents.move_to_end(adapter.identity)
                return found
            self._evict(self._bound_bytes - adapter.size_bytes, in_use)
        resident = adapter.loaded(self._copy(adapter, in_use))
        with self._lock:
            self._residents[adapter.identity] = resident
        return resident

    def identities(self) -> frozenset[str]:
        with self._lock:
            return frozenset(self._residents)

    def forget(self, identity: str) -> None:
        with self._lock:
            self._residents.pop(identity, None)

    def _copy(self, adapter: LoraAdapter, in_use: Collection[str]) -> torch.Tensor:
        try:
            return adapter.flat.to(self._device, non_blocking=True)
        except torch.OutOfMemoryError:
            with self._lock:
                self._evict(0, in_use)
        torch.cuda.empty_cache()
        try:
            return adapter.flat.to(self._device)
        except torch.OutOfMemoryError as error:
            message = f"the device has no room for the adapter's {adapter.size_bytes} bytes"
            raise AdapterError(Reason.POD_FAILED, message, transient=True) from error

    def _evict(self, bound_bytes: int, in_use: Collection[str]) -> None:
        size = sum(r.size_bytes for r in self._residents.values())
        for identity in list(self._residents):
            if size <= bound_bytes:
                return
            if identity not in in_use:
                size -= self._residents.pop(identity).size_bytes
