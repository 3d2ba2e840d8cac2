"""The adapters that this pod may serve: the catalog, and how far each one is."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from typing import Final

from lorapool_api.rules.undeclared import is_declared
from lorapool_api.wire.catalog import Catalog, CatalogDelta, CatalogEntry
from lorapool_api.wire.reply import ErrorCode
from lorapool_api.wire.state import AdapterPhase, AdapterState
from lorapool_common.changes import Changes
from lorapool_runtime.adapters.file import AdapterFile, HostAdapter
from lorapool_runtime.catalog.holdings import Holdings
from lorapool_runtime.catalog.host.cache import HostCache
from lorapool_runtime.catalog.index import CatalogIndex
from lorapool_runtime.catalog.loading import SOURCE_BACKOFF, MakeBackoff, SlotLoader, Sources
from lorapool_runtime.catalog.order.own_first import is_always_own
from lorapool_runtime.catalog.pins import DeviceCache, Pins
from lorapool_runtime.catalog.saved import SavedCatalog
from lorapool_runtime.catalog.slot import CatalogSlot, must_start_over
from lorapool_runtime.catalog.tiers import TierIndex
from lorapool_runtime.catalog.weights import Weights
from lorapool_runtime.errors import RequestError
from lorapool_runtime.turns import in_slices

# Entries between two turns of the event loop: one that begins to load takes some 50 us.
_SLICE: Final = 50
# What a pod says that it holds while it does not hold all of a catalog: no catalog has this digest.
_INTERRUPTED: Final = "interrupted"


class Registry:
    """Keeps the adapters of the catalog as it says. Lives on the event loop.

    Attributes:
        tiers: where the adapters are.
        weights: those that requests take.
    """

    def __init__(
        self,
        changes: Changes,
        sources: Sources,
        memory: HostCache,
        device: DeviceCache,
        check: Callable[[AdapterFile], Awaitable[None]],
        to_device: Callable[[HostAdapter], Awaitable[None]],
        on_changed: Callable[[], None] = lambda: None,
        backoff: MakeBackoff = SOURCE_BACKOFF,
        index: CatalogIndex | None = None,
        is_own: Callable[[str], bool] = is_always_own,
    ) -> None:
        """Args:
        check: waits until the base is warm; raises AdapterError or FactsError for a file that it cannot serve.
        to_device: copies an adapter to the device.
        on_changed: called when the catalog, or what of it can be served, has changed.
        is_own: whether this pod fetches the adapter's file for all pods, by the adapter's key.
        """
        self._changes = changes
        self._sources = sources
        self._memory = memory
        self._device = device
        self._on_changed = on_changed
        self._index = CatalogIndex(changes) if index is None else index
        self.tiers = TierIndex(self._index, memory, device)
        self.pins = Pins(device, memory, to_device, self.tiers.refresh)
        self._holdings = Holdings()
        self._loader = SlotLoader(
            self._index, sources, check, self.tiers, self._settled, self._holdings, memory.check, backoff, is_own
        )
        self.weights = Weights(self._index, memory, self._loader, self.tiers.refresh)
        self._digest: str | None = None
        self._merge_losses: dict[str, float | None] = {}
        self._is_applying = False
        self._beginning: set[asyncio.Task[None]] = set()

    # ---- the catalog -------------------------------------------------------------------------------------------

    @property
    def digest(self) -> str | None:
        return self._digest

    def saved(self) -> SavedCatalog | None:
        """What the next process shall start with; None: nothing yet, or not at this moment."""
        if self._digest is None or self._is_applying:
            return None
        entries = tuple(slot.entry for slot in self._index if is_declared(slot.entry.key))
        catalog = Catalog.model_construct(digest=self._digest, entries=entries)
        ready = frozenset(filter(is_declared, self._index.ready))
        return SavedCatalog(catalog, ready, self._holdings.keys, tuple(self._index.remote.texts))

    def replace(self, catalog: Catalog) -> None:
        """Serve these adapters and no others; what is unchanged goes on undisturbed."""
        for _ in self.replacing(catalog):
            pass

    def patch(self, delta: CatalogDelta) -> None:
        """Raises: RequestError (`DigestMismatch`) when the delta is about another catalog than this one."""
        for _ in self.patching(delta):
            pass

    def replacing(self, catalog: Catalog) -> Iterator[None]:
        """`replace` in slices, between which the loop may do other things, but not to the catalog."""
        gone = self._index.keys() - {e.key for e in catalog.entries}
        yield from self._apply(catalog.digest, catalog.entries, list(filter(is_declared, gone)))

    def patching(self, delta: CatalogDelta) -> Iterator[None]:
        """`patch` in slices, as `replacing`. Raises: RequestError (`DigestMismatch`), before anything is changed."""
        if delta.base != self._digest:
            message = f"the delta is about catalog {delta.base[:12]}; this pod has {(self._digest or 'none')[:12]}"
            raise RequestError(ErrorCode.DIGEST_MISMATCH, message, retryable=True)
        yield from self._apply(delta.digest, delta.upsert, delta.remove)

    def _apply(self, digest: str, upsert: Iterable[CatalogEntry], remove: Iterable[str]) -> Iterator[None]:
        self._is_applying = True
        reached = _INTERRUPTED
        try:
            for number, key in enumerate(remove, 1):
                self._remove(key)
                if not number % _SLICE:
                    yield
            for number, entry in enumerate(upsert, 1):
                self._upsert(entry)
                if not number % _SLICE:
                    yield
            reached = digest
        finally:
            self._is_applying = False
            if reached != self._digest:
                self._digest = reached
                self._changes.note()
        self._settled()

    def _upsert(self, entry: CatalogEntry) -> None:
        slot = self._index.find(entry.key)
        if slot is None and entry.key not in self._holdings:
            self._index.remote.put(entry)
            return
        if slot is not None and slot.entry == entry:
            return
        if slot is not None and not must_start_over(slot, entry):
            slot.entry = entry
            self._index.touch(slot)
            return
        if slot is not None:
            self._index.pop(entry.key, is_replaced=True)
            self._let_go(slot)
        self._index.put(fresh := CatalogSlot(entry))
        if entry.key in self._holdings or (slot is not None and slot.phase is not AdapterPhase.REMOTE):
            self._loader.start(fresh)

    def hold(self, keys: frozenset[str], *, in_memory: bool = False) -> None:
        """Load these before anybody asks; what is here already stays as long as there is room for it.

        Args:
            in_memory: into host memory too, as far as it has room.
        """
        new = self._holdings.replace(keys, in_memory=in_memory)
        if new:
            task = asyncio.create_task(self._begin(new), name="begin what is held")
            self._beginning.add(task)
            task.add_done_callback(self._beginning.discard)
        self._on_changed()

    async def _begin(self, keys: Iterable[str]) -> None:
        async for key in in_slices(keys, _SLICE):
            if key in self._holdings:
                self._loader.request(key, is_urgent=False)

    def _remove(self, key: str) -> None:
        slot = self._index.pop(key)
        if slot is not None:
            self._let_go(slot)

    def _let_go(self, slot: CatalogSlot) -> None:
        """Stop loading it and free its memory; a request that runs with it holds on to what it needs."""
        if slot.task is not None:
            slot.task.cancel()
        if not self._index.has_source(slot.entry.source):
            self._sources.forget(slot.entry.source)
        if slot.file and not self._index.with_file(slot.file.identity):
            self._memory.drop(slot.file.identity)
            self._device.forget(slot.file.identity)
            self._merge_losses.pop(slot.file.identity, None)

    async def close(self) -> None:
        tasks = [*self._beginning, *(h.task for h in self._index if h.task is not None)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.pins.close()

    # ---- how far each one is -----------------------------------------------------------------------------------

    @property
    def held(self) -> frozenset[str] | None:
        """Keys of the adapters that the pod holds; None: all."""
        return self._holdings.keys

    @property
    def ready(self) -> Collection[str]:
        """Keys of the adapters that can be served."""
        return self._index.ready

    def slot(self, key: str) -> CatalogSlot | None:
        """What this pod knows of an adapter of the catalog; not to be changed."""
        return self._index.get(key)

    def is_on_its_way(self, key: str) -> bool:
        """Whether an adapter of the catalog is neither ready nor refused yet."""
        return (slot := self._index.find(key)) is not None and slot.is_on_its_way

    def states(self, since: int | None = None, keys: Iterable[str] | None = None) -> dict[str, AdapterState]:
        """The states of all adapters of the catalog, or of those of these keys, or of those that changed since a
        version; never of one that only a request would bring."""
        return dict(self.state_rows(since, keys))

    def state_rows(self, since: int | None, keys: Iterable[str] | None = None) -> Iterator[tuple[str, AdapterState]]:
        """As `states`, of the adapters of this moment, each as it is when its turn comes."""
        if keys is not None:
            found = tuple(slot for key in keys if (slot := self._index.find(key)) is not None)
        else:
            changed = self._index if since is None else self._index.changed_since(since)
            found = tuple(slot for slot in changed if is_declared(slot.entry.key))
        return ((s.entry.key, self._state(s)) for s in found if s.phase is not AdapterPhase.REMOTE)

    def _state(self, slot: CatalogSlot) -> AdapterState:
        return slot.state(self._merge_losses.get(slot.file.identity) if slot.file else None)

    def removed_since(self, version: int) -> tuple[str, ...] | None:
        """Adapters that have gone since that version; None where that is not known any more."""
        return self._index.removed_since(version)

    # ---- what a merge would lose -------------------------------------------------------------------------------

    def unmeasured(self) -> HostAdapter | None:
        """An adapter in host memory of which it is not known; None: there is none."""
        new = (adapter for adapter in self._memory.kept() if adapter.identity not in self._merge_losses)
        return next((adapter for adapter in new if self._index.with_file(adapter.identity)), None)

    def note_merge_loss(self, identity: str, loss: float | None) -> None:
        """It is known now; None: nothing can be told."""
        self._merge_losses[identity] = loss
        for slot in self._index.with_file(identity) if loss is not None else ():
            self._index.touch(slot)

    def _settled(self) -> None:
        self.pins.set_pinned(slot.file for slot in self._index.pinned if slot.file is not None)
        self._on_changed()
