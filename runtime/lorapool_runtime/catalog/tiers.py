"""Where the adapters are that can be served: which tier each one is in, and who moved."""

from collections import Counter
from collections.abc import Mapping

from lorapool_api.wire.state import AdapterPhase, Tier
from lorapool_runtime.catalog.host.cache import HostCache
from lorapool_runtime.catalog.index import CatalogIndex
from lorapool_runtime.catalog.pins import DeviceCache
from lorapool_runtime.catalog.slot import CatalogSlot


class TierIndex:
    """Knows the tier of each adapter. Lives on the event loop.

    Noting what moved takes as long as there are adapters that did.
    """

    def __init__(self, index: CatalogIndex, memory: HostCache, device: DeviceCache) -> None:
        self._index = index
        self._memory = memory
        self._device = device
        self._on_device: frozenset[str] = frozenset()

    def refresh(self) -> None:
        """Note what has moved since the last call."""
        on_device = self._device.on_device()
        moved = (on_device ^ self._on_device) | self._memory.moved()
        self._on_device = on_device
        for identity in moved:
            for slot in self._index.with_file(identity):
                tier = self.of(slot)
                if tier is not slot.tier:
                    slot.tier = tier
                    self._index.touch(slot)

    def of(self, slot: CatalogSlot) -> Tier:
        """Where its weights are."""
        if slot.file is None:
            return Tier.REMOTE
        if slot.file.identity in self._on_device:
            return Tier.DEVICE
        return Tier.HOST if self._memory.holds(slot.file.identity) else Tier.DISK

    def all(self) -> dict[str, Tier]:
        """The tier of each adapter that can be served."""
        return {slot.entry.key: slot.tier for slot in self._index.served}

    def count(self) -> Mapping[Tier, int]:
        """How many adapters can be served, by tier."""
        return Counter(slot.tier for slot in self._index.served)

    def since(self, version: int) -> tuple[dict[str, Tier], tuple[str, ...]] | None:
        """(tiers of those that changed since that version, keys that cannot be served any more).

        None where that is not known any more: ask for all.
        """
        removed = self._index.removed_since(version)
        if removed is None:
            return None
        changed = list(self._index.changed_since(version))
        there = {h.entry.key: h.tier for h in changed if h.phase is AdapterPhase.READY}
        gone = [h.entry.key for h in changed if h.phase is not AdapterPhase.READY]
        gone += [key for key in removed if self._index.get(key) is None]
        return there, tuple(gone)
