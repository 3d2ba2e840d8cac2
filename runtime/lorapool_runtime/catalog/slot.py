"""One adapter of the catalog in this pod, and when a new entry means to start over."""

import asyncio
from dataclasses import dataclass

from lorapool_api.kinds.conditions import Reason
from lorapool_api.wire.catalog import CatalogEntry, HubFile
from lorapool_api.wire.state import AdapterFileFacts, AdapterPhase, AdapterState, Tier
from lorapool_runtime.adapters.file import AdapterFile
from lorapool_runtime.errors import AdapterError


@dataclass
class CatalogSlot:
    """What the pod knows of an entry. Lives on the event loop; only the registry changes it."""

    entry: CatalogEntry
    phase: AdapterPhase = AdapterPhase.DOWNLOADING
    tier: Tier = Tier.REMOTE
    file: AdapterFile | None = None
    error: AdapterError | None = None
    message: str = ""
    version: int = 0
    task: asyncio.Task[None] | None = None
    again: asyncio.Task[AdapterFile] | None = None

    def state(self) -> AdapterState:
        """As the wire has it."""
        return AdapterState(
            phase=self.phase,
            tier=self.tier,
            generation=self.entry.generation,
            reason=self.error.reason if self.error else None,
            message=self.error.message if self.error else self.message,
            facts=_facts(self.file) if self.file else None,
        )


def _facts(file: AdapterFile) -> AdapterFileFacts:
    facts = file.facts
    return AdapterFileFacts(
        sha256=file.sha256,
        size_bytes=facts.size_bytes,
        rank=facts.rank,
        targets=facts.target_count,
        format=facts.format,
    )


def must_start_over(slot: CatalogSlot, entry: CatalogEntry) -> bool:
    """Whether the new entry of a key may mean other weights than the old one.

    Another source or pin does; so does an edit of an object whose file nobody pinned, because that is how a
    person says that it has changed; and any change of one that failed is worth another try.
    """
    old = slot.entry
    if (old.source, old.sha256) != (entry.source, entry.sha256):
        return True
    if slot.phase is AdapterPhase.FAILED:
        return old != entry
    pinned = entry.sha256 is not None or isinstance(entry.source, HubFile)
    return old.generation != entry.generation and not pinned


def gone(file: AdapterFile) -> AdapterError:
    """The error of a file that another process has evicted from the cache."""
    return AdapterError(
        Reason.SOURCE_UNAVAILABLE, f"file {file.sha256[:12]} has left the pod's cache; it is fetched again"
    )
