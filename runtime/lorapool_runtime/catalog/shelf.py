"""All entries of the catalog in a pod, found by key, by file and by what changed last."""

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Collection, Iterator, KeysView
from typing import Final

from lorapool_api.wire.catalog import FileSource
from lorapool_api.wire.state import AdapterPhase
from lorapool_runtime.adapters.file import AdapterFile
from lorapool_runtime.catalog.slot import Held
from lorapool_runtime.versions import Versions

# Whoever has not asked for longer than so many removals gets everything.
_REMOVALS_KEPT: Final = 1024


class Shelf:
    """Lives on the event loop. No call but iterating over all takes longer with more entries."""

    def __init__(self, versions: Versions) -> None:
        self._versions = versions
        # In order of their last change.
        self._held: OrderedDict[str, Held] = OrderedDict()
        self._sources: Counter[FileSource] = Counter()
        self._by_file: defaultdict[str, set[str]] = defaultdict(set)
        self._ready: set[str] = set()
        self._pinned: set[str] = set()
        self._removals: deque[tuple[int, str]] = deque()
        self._forgotten = 0

    def __iter__(self) -> Iterator[Held]:
        return iter(self._held.values())

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: str) -> Held | None:
        return self._held.get(key)

    def keys(self) -> KeysView[str]:
        return self._held.keys()

    @property
    def ready(self) -> Collection[str]:
        """Keys of those that can be served."""
        return self._ready

    @property
    def pinned(self) -> Iterator[Held]:
        """Those that can be served and shall stay on the device."""
        return (self._held[key] for key in self._pinned & self._ready)

    # ---- changes -----------------------------------------------------------------------------------------------

    def put(self, held: Held) -> None:
        """Take a new entry in; there is none of its key."""
        self._held[held.entry.key] = held
        self._sources[held.entry.source] += 1
        self.touch(held)

    def pop(self, key: str, *, is_replaced: bool = False) -> Held | None:
        """Take an entry out. Unless another one takes its place, those who ask for changes hear that it went."""
        held = self._take_out(key)
        if held is not None and not is_replaced:
            self._removals.append((self._versions.bump(), key))
            if len(self._removals) > _REMOVALS_KEPT:
                self._forgotten, _ = self._removals.popleft()
        return held

    def _take_out(self, key: str) -> Held | None:
        held = self._held.pop(key, None)
        if held is None:
            return None
        self._sources[held.entry.source] -= 1
        if not self._sources[held.entry.source]:
            del self._sources[held.entry.source]
        if held.file is not None:
            self._unfile(key, held.file)
        self._ready.discard(key)
        self._pinned.discard(key)
        return held

    def set_file(self, held: Held, file: AdapterFile | None) -> None:
        key, is_here = held.entry.key, self._held.get(held.entry.key) is held
        if held.file is not None and is_here:
            self._unfile(key, held.file)
        held.file = file
        if file is not None and is_here:
            self._by_file[file.identity].add(key)

    def touch(self, held: Held) -> None:
        """The entry has changed: whoever asks for what changed hears of it."""
        key = held.entry.key
        if self._held.get(key) is not held:
            return  # it was removed meanwhile
        held.version = self._versions.bump()
        self._held.move_to_end(key)
        (self._ready.add if held.phase is AdapterPhase.READY else self._ready.discard)(key)
        (self._pinned.add if held.entry.pin else self._pinned.discard)(key)

    def _unfile(self, key: str, file: AdapterFile) -> None:
        self._by_file[file.identity].discard(key)
        if not self._by_file[file.identity]:
            del self._by_file[file.identity]

    # ---- finding -----------------------------------------------------------------------------------------------

    def with_file(self, identity: str) -> list[Held]:
        """Those that are this change of the base."""
        return [self._held[key] for key in self._by_file.get(identity, ())]

    def has_source(self, source: FileSource) -> bool:
        return source in self._sources

    def changed_since(self, version: int) -> Iterator[Held]:
        """The latest change first."""
        for held in reversed(self._held.values()):
            if held.version <= version:
                return
            yield held

    def removed_since(self, version: int) -> tuple[str, ...] | None:
        """Keys that have gone since that version; None where that is not known any more."""
        if version < self._forgotten:
            return None
        return tuple(key for at, key in reversed(self._removals) if at > version)
