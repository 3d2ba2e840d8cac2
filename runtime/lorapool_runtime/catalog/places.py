"""Where the adapters are that can be served: which tier each one is in, and who moved."""

from collections import Counter
from collections.abc import Mapping
from typing import Protocol

from lorapool_api.wire.state import AdapterPhase, Tier
from lorapool_runtime.catalog.host_cache import HostMemory
from lorapool_runtime.catalog.shelf import Shelf
from lorapool_runtime.catalog.slot import Held


class Device(Protocol):
    """What the engine keeps near itself."""

    def on_device(self) -> frozenset[str]: ...


class Places:
    """Lives on the event loop. Noting what moved takes as long as there are adapters that did."""

    def __init__(self, shelf: Shelf, memory: HostMemory, device: Device) -> None:
        self._shelf = shelf
        self._memory = memory
        self._device = device
        self._on_device: frozenset[str] = frozenset()

    def refresh(self) -> None:
        """Note what has moved since the last call."""
        on_device = self._device.on_device()
        moved = (on_device ^ self._on_device) | self._memory.moved()
        self._on_device = on_device
        for identity in moved:
            for held in self._shelf.with_file(identity):
                tier = self.of(held)
                if tier is not held.tier:
                    held.tier = tier
                    self._shelf.touch(held)

    def of(self, held: Held) -> Tier:
        """Where its weights are."""
        if held.file is None:
            return Tier.REMOTE
        if held.file.identity in self._on_device:
            return Tier.DEVICE
        return Tier.HOST if self._memory.holds(held.file.identity) else Tier.DISK

    def all(self) -> dict[str, Tier]:
        """The tier of each adapter that can be served."""
        return {h.entry.key: h.tier for h in self._shelf if h.phase is AdapterPhase.READY}

    def count(self) -> Mapping[Tier, int]:
        """How many adapters can be served, by tier."""
        return Counter(h.tier for h in self._shelf if h.phase is AdapterPhase.READY)

    def since(self, version: int) -> tuple[dict[str, Tier], tuple[str, ...]] | None:
        """(tiers of those that changed since that version, keys that cannot be served any more).

        None where that is not known any more: ask for all.
        """
        removed = self._shelf.removed_since(version)
        if removed is None:
            return None
        changed = list(self._shelf.changed_since(version))
        there = {h.entry.key: h.tier for h in changed if h.phase is AdapterPhase.READY}
        gone = [h.entry.key for h in changed if h.phase is not AdapterPhase.READY]
        gone += [key for key in removed if self._shelf.get(key) is None]
        return there, tuple(gone)
