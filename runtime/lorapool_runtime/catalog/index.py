"""All entries of the catalog in a pod, found by key, by file and by what changed last."""

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Collection, Iterable, Iterator, KeysView
from typing import Final

from lorapool_api.wire.catalog import CatalogEntry
from lorapool_api.wire.sources.any import FileSource
from lorapool_api.wire.state import AdapterPhase
from lorapool_common.changes import Changes
from lorapool_runtime.adapters.file import AdapterFile
from lorapool_runtime.catalog.slot import CatalogSlot

# Whoever has not asked for longer than so many removals gets everything.
REMOVALS_KEPT: Final = 1024


class RemoteEntries:
    """Entries that the pod does not hold and was never asked for. There may be many: as text they take a fifth."""

    def __init__(self) -> None:
        self._texts: dict[str, bytes] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._texts

    def keys(self) -> KeysView[str]:
        return self._texts.keys()

    @property
    def texts(self) -> Iterable[bytes]:
        """Each entry in JSON."""
        return self._texts.values()

    def put(self, entry: CatalogEntry) -> None:
        """Keep it, in place of what was known of its key."""
        self._texts[entry.key] = entry.model_dump_json().encode()

    def pop(self, key: str) -> CatalogEntry | None:
        """The entry, which is kept no longer; None: there is none."""
        text = self._texts.pop(key, None)
        return None if text is None else CatalogEntry.model_validate_json(text)

    def drop(self, key: str) -> None:
        self._texts.pop(key, None)


class CatalogIndex:
    """Finds slots. Lives on the event loop; no call but iterating over all takes longer with more entries.

    An entry that the pod does not hold has no slot until somebody asks for it.
    """

    def __init__(self, changes: Changes, removals_kept: int = REMOVALS_KEPT) -> None:
        """`removals_kept`: whoever asks for what changed before that many removals gets everything."""
        self._changes = changes
        self._removals_kept = removals_kept
        # In order of their last change.
        self._slots: OrderedDict[str, CatalogSlot] = OrderedDict()
        self._remote = RemoteEntries()
        self._sources: Counter[FileSource] = Counter()
        self._by_file: defaultdict[str, set[str]] = defaultdict(set)
        self._ready: set[str] = set()
        self._pinned: set[str] = set()
        self._removals: deque[tuple[int, str]] = deque()
        self._forgotten = 0

    def __iter__(self) -> Iterator[CatalogSlot]:
        """Those of the pod's adapters that it holds, or was asked for."""
        return iter(self._slots.values())

    def find(self, key: str) -> CatalogSlot | None:
        """The slot, where there is one already."""
        return self._slots.get(key)

    def get(self, key: str) -> CatalogSlot | None:
        """The slot; None: the catalog has no such entry."""
        slot = self._slots.get(key)
        if slot is None and (entry := self._remote.pop(key)) is not None:
            slot = self._slots[key] = CatalogSlot(entry)
            # Nothing has changed: it belongs behind all that has.
            self._slots.move_to_end(key, last=False)
            self._sources[entry.source] += 1
        return slot

    def keys(self) -> set[str]:
        """Those of all entries."""
        return self._slots.keys() | self._remote.keys()

    @property
    def remote(self) -> RemoteEntries:
        """Entries without a slot."""
        return self._remote

    @property
    def ready(self) -> Collection[str]:
        """Keys of those that can be served."""
        return self._ready

    @property
    def served(self) -> Iterator[CatalogSlot]:
        """Those that can be served."""
        return (self._slots[key] for key in self._ready)

    @property
    def pinned(self) -> Iterator[CatalogSlot]:
        """Those that can be served and shall stay on the device."""
        return (self._slots[key] for key in self._pinned & self._ready)

    # ---- changes -----------------------------------------------------------------------------------------------

    def put(self, slot: CatalogSlot) -> None:
        """Take a new entry in; there is no slot of its key."""
        self._remote.drop(slot.entry.key)
        self._slots[slot.entry.key] = slot
        self._sources[slot.entry.source] += 1
        self.touch(slot)

    def pop(self, key: str, *, is_replaced: bool = False) -> CatalogSlot | None:
        """Take an entry out. Unless another one takes its place, it is among the removals that are told.

        None: it had no slot, and nobody was told of it.
        """
        self._remote.drop(key)
        slot = self._take_out(key)
        if slot is not None and not is_replaced:
            self._removals.append((self._changes.note(), key))
            if len(self._removals) > self._removals_kept:
                self._forgotten, _ = self._removals.popleft()
        return slot

    def _take_out(self, key: str) -> CatalogSlot | None:
        slot = self._slots.pop(key, None)
        if slot is None:
            return None
        self._sources[slot.entry.source] -= 1
        if not self._sources[slot.entry.source]:
            del self._sources[slot.entry.source]
        if slot.file is not None:
            self._unfile(key, slot.file)
        self._ready.discard(key)
        self._pinned.discard(key)
        slot.notify()
        return slot

    def set_file(self, slot: CatalogSlot, file: AdapterFile | None) -> None:
        key, is_here = slot.entry.key, self._slots.get(slot.entry.key) is slot
        if slot.file is not None and is_here:
            self._unfile(key, slot.file)
        slot.file = file
        if file is not None and is_here:
            self._by_file[file.identity].add(key)

    def touch(self, slot: CatalogSlot) -> None:
        """The entry has changed: it belongs to what changed last."""
        key = slot.entry.key
        if self._slots.get(key) is not slot:
            return  # it was removed meanwhile
        slot.version = self._changes.note()
        slot.notify()
        self._slots.move_to_end(key)
        (self._ready.add if slot.phase is AdapterPhase.READY else self._ready.discard)(key)
        (self._pinned.add if slot.entry.pin else self._pinned.discard)(key)

    def _unfile(self, key: str, file: AdapterFile) -> None:
        self._by_file[file.identity].discard(key)
        if not self._by_file[file.identity]:
            del self._by_file[file.identity]

    # ---- finding -----------------------------------------------------------------------------------------------

    def with_file(self, identity: str) -> list[CatalogSlot]:
        """Those that are this change of the base."""
        return [self._slots[key] for key in self._by_file.get(identity, ())]

    def has_source(self, source: FileSource) -> bool:
        return source in self._sources

    def changed_since(self, version: int) -> Iterator[CatalogSlot]:
        """The latest change first."""
        for slot in reversed(self._slots.values()):
            if slot.version <= version:
                return
            yield slot

    def removed_since(self, version: int) -> tuple[str, ...] | None:
        """Keys that have gone since that version; None where that is not known any more."""
        if version < self._forgotten:
            return None
        return tuple(key for at, key in reversed(self._removals) if at > version)
