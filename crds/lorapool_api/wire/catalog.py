"""The adapters that a pod may serve, as the operator tells it."""

import hashlib
from collections.abc import Iterable
from functools import cached_property

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
    alone: bool = Field(
        default=False, description="Nothing that may belong to the file lies beside it; false: that is to be asked."
    )
    scale: float = 1.0
    defaults: FoundDefaults | None = Field(
        default=None, description="What requests with it get that do not say; before what its file declares."
    )
    recognised: FoundDefaults | None = Field(
        default=None, description="The same as the name of its file gives it away; after what its file declares."
    )
    pin: bool = Field(default=False, description="Bring it to the device at once, and keep it there.")

    @cached_property
    def digest(self) -> bytes:
        """sha256 of the entry: made once, for all catalogs that it stands in."""
        return hashlib.sha256(self.model_dump_json().encode()).digest()


def catalog_digest(entries: Iterable[CatalogEntry]) -> str:
    """sha256 over the digests of the entries in order of their keys; the same set has the same digest. Pods do not
    compute it: it says whether what they hold is what they were told."""
    rows = sorted(entries, key=lambda entry: entry.key)
    return hashlib.sha256(b"".join(entry.digest for entry in rows)).hexdigest()


class Catalog(Wire):
    """The whole set of adapters that a pod may serve."""

    digest: str
    entries: tuple[CatalogEntry, ...]

    @classmethod
    def of(cls, entries: Iterable[CatalogEntry]) -> "Catalog":
        rows = tuple(sorted(entries, key=lambda e: e.key))
        return cls(digest=catalog_digest(rows), entries=rows)

    @cached_property
    def encoded(self) -> bytes:
        """As it is sent: made once for all pods."""
        return self.model_dump_json().encode()


class CatalogDelta(Wire):
    """The change from the catalog with digest `base` to the one with digest `digest`."""

    base: str
    digest: str
    upsert: tuple[CatalogEntry, ...] = ()
    remove: tuple[str, ...] = ()

    @cached_property
    def encoded(self) -> bytes:
        """As it is sent: made once for all pods that hold the same."""
        return self.model_dump_json().encode()
