"""The change from one catalog to another."""

from typing import Final

from lorapool_api.wire.catalog import Catalog, CatalogDelta, CatalogEntry


def delta(held: Catalog, wanted: Catalog) -> CatalogDelta:
    """What a pod is told that holds the one and shall have the other."""
    before: dict[str, CatalogEntry] = {e.key: e for e in held.entries}
    after = {e.key for e in wanted.entries}
    return CatalogDelta(
        base=held.digest,
        digest=wanted.digest,
        upsert=tuple(e for e in wanted.entries if (old := before.get(e.key)) is not e and old != e),
        remove=tuple(key for key in before if key not in after),
    )


_MOST_KEPT: Final = 4


class Deltas:
    """The changes to the newest catalog, each made once for all pods that hold the same."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], CatalogDelta] = {}

    def between(self, held: Catalog, wanted: Catalog) -> CatalogDelta:
        """What a pod is told that holds the one and shall have the other."""
        key = (held.digest, wanted.digest)
        if key not in self._kept:
            self._kept = {k: kept for k, kept in self._kept.items() if k[1] == wanted.digest}
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            self._kept[key] = delta(held, wanted)
        return self._kept[key]
