"""The change from one catalog to another."""

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
