"""The adapters that a pod may serve, as the operator tells it."""

import hashlib
import json
from collections.abc import Iterable

from pydantic import Field

from lorapool_api.kinds.serving import FoundDefaults
from lorapool_api.wire.message import Wire
from lorapool_api.wire.sources.any import FileSource


class CatalogEntry(Wire):
    """One adapter that a pod may serve."""

    key: str = Field(
        description="namespace/name of the LoraAdapter; of a version that is not its first with @ and a digest behind. "
        "While the adapter exists a key stands for one file."
    )
    generation: int = Field(
        default=0, description="metadata.generation that asked for this file, or for another try of what had failed."
    )
    source: FileSource
    sha256: str | None = Field(default=None, description="Expected sha256; None: the pod reports what it finds.")
    size_bytes: int | None = None
    scale: float = 1.0
    defaults: FoundDefaults | None = Field(
        default=None, description="What requests with it get that do not say; before what its file declares."
    )
    recognised: FoundDefaults | None = Field(
        default=None, description="The same as the name of its file gives it away; after what its file declares."
    )
    pin: bool = Field(default=False, description="Bring it to the device at once, and keep it there.")


def catalog_digest(entries: Iterable[CatalogEntry]) -> str:
    """sha256 over the entries in order of their keys; the same set has the same digest, on both sides."""
    rows = sorted((e.model_dump(mode="json") for e in entries), key=lambda row: str(row["key"]))
    return hashlib.sha256(json.dumps(rows, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


class Catalog(Wire):
    """The whole set of adapters that a pod may serve."""

    digest: str
    entries: tuple[CatalogEntry, ...]

    @classmethod
    def of(cls, entries: Iterable[CatalogEntry]) -> "Catalog":
        rows = tuple(sorted(entries, key=lambda e: e.key))
        return cls(digest=catalog_digest(rows), entries=rows)


class CatalogDelta(Wire):
    """The change from the catalog with digest `base` to the one with digest `digest`."""

    base: str
    digest: str
    upsert: tuple[CatalogEntry, ...] = ()
    remove: tuple[str, ...] = ()
