"""One adapter of the catalog in this pod, and when a new entry means to start over."""

import asyncio
from dataclasses import dataclass, field
from typing import Final

from lorapool_api.kinds.conditions import Reason
from lorapool_api.kinds.serving import AdapterDefaults, ServingLimits
from lorapool_api.rules.defaults import first_said, of_adapter
from lorapool_api.wire.catalog import CatalogEntry
from lorapool_api.wire.sources.any import FileSource
from lorapool_api.wire.state import AdapterFileFacts, AdapterPhase, AdapterState, Tier
from lorapool_runtime.adapters.file import AdapterFile
from lorapool_runtime.errors import AdapterError

# Requests for an adapter that failed a moment ago are answered with that.
_TRY_AGAIN_S: Final = 2.0


@dataclass
class CatalogSlot:
    """What the pod knows of an entry. Lives on the event loop; only the registry changes it."""

    entry: CatalogEntry
    phase: AdapterPhase = AdapterPhase.REMOTE
    tier: Tier = Tier.REMOTE
    file: AdapterFile | None = None
    error: AdapterError | None = None
    message: str = ""
    version: int = 0
    task: asyncio.Task[None] | None = None
    again: asyncio.Task[AdapterFile] | None = None
    failed_at_s: float = 0.0
    waiters: list[asyncio.Future[None]] = field(default_factory=list)

    @property
    def is_on_its_way(self) -> bool:
        """Whether it is neither ready nor refused yet, and not left to requests."""
        return self.phase in (AdapterPhase.DOWNLOADING, AdapterPhase.LOADING)

    @property
    def is_loading(self) -> bool:
        """Whether a task brings it, or waits until it tries again."""
        return self.task is not None and not self.task.done()

    @property
    def may_try_again(self) -> bool:
        """Whether what failed a moment ago may succeed now, and nobody tries."""
        passed_s = asyncio.get_running_loop().time() - self.failed_at_s
        return self.error is not None and self.error.transient and not self.is_loading and passed_s >= _TRY_AGAIN_S

    async def changed(self, within_s: float) -> None:
        """Return when something about the adapter has changed, or the time is over."""
        waiter = asyncio.get_running_loop().create_future()
        self.waiters.append(waiter)
        await asyncio.wait((waiter,), timeout=within_s)

    def notify(self) -> None:
        """Something about it has changed."""
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(None)
        self.waiters.clear()

    def defaults(self, limits: ServingLimits) -> AdapterDefaults:
        """What requests with it get that do not say; `limits` are the pool's."""
        declared = self.file.facts.declared.defaults if self.file else None
        return of_adapter(self.entry.defaults, first_said(declared, self.entry.recognised), limits)

    def state(self, merge_loss: float | None = None) -> AdapterState:
        """As the wire has it; `merge_loss`, where it is known, is that of the file. Not checked: a state may name
        thousands, of values that are ours."""
        return AdapterState.model_construct(
            phase=self.phase,
            tier=self.tier,
            generation=self.entry.generation,
            reason=self.error.reason if self.error else None,
            message=self.error.message if self.error else self.message,
            facts=_facts(self.file, merge_loss) if self.file else None,
        )


def _facts(file: AdapterFile, merge_loss: float | None) -> AdapterFileFacts:
    facts = file.facts
    return AdapterFileFacts(
        sha256=file.sha256,
        size_bytes=facts.size_bytes,
        rank=facts.rank,
        targets=facts.target_count,
        format=facts.format,
        networks=facts.network_names,
        trigger_words=facts.declared.trigger_words or None,
        declared=facts.declared.defaults,
        merge_loss=merge_loss,
    )


def must_start_over(slot: CatalogSlot, entry: CatalogEntry) -> bool:
    """Whether the new entry of a key means other weights than the old one.

    Another source or pin does, but not the pin of the very file that is here; and any change of one that failed is
    worth another try.
    """
    old = slot.entry
    if slot.phase is AdapterPhase.FAILED:
        return old != entry
    is_pinned_as_it_is = slot.file is not None and slot.file.sha256 == entry.sha256
    return _place(old) != _place(entry) or (old.sha256 != entry.sha256 and not is_pinned_as_it_is)


def _place(entry: CatalogEntry) -> FileSource:
    """Where its file lies, whoever asks for it there."""
    return entry.source.model_copy(update={"credentials": None})


def gone(file: AdapterFile) -> AdapterError:
    """The error of a file that another process has evicted from the cache."""
    return AdapterError(
        Reason.SOURCE_UNAVAILABLE, f"file {file.sha256[:12]} has left the pod's cache; it is fetched again"
    )
