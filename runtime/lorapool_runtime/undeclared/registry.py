"""The catalog, and beside it adapters that no LoraAdapter declares."""

from lorapool_api.wire.catalog import CatalogEntry
from lorapool_runtime.catalog.registry import Registry


class OpenRegistry(Registry):
    """A registry that takes entries besides those of the catalog. Lives on the event loop."""

    def add(self, entry: CatalogEntry) -> None:
        """Serve this one too, whatever the catalog is."""
        self._upsert(entry)
        self._index.get(entry.key)  # with a slot it is not among the texts of the catalog
        self._settled()

    def remove(self, key: str) -> None:
        """Serve it no more; its file leaves the disk, unless another one is of it."""
        slot = self._index.find(key)
        self._remove(key)
        file = slot.file if slot else None
        if file is not None and not any(s.file is not None and s.file.sha256 == file.sha256 for s in self._index):
            self._sources.discard(file)
        self._settled()
