"""Making the adapters of the catalog ready: each by a task of its own, so that none waits for another."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

import structlog

from lorapool_api.kinds.conditions import Reason
from lorapool_api.lora.header import FactsError
from lorapool_api.wire.catalog import CatalogEntry
from lorapool_api.wire.sources.any import FileSource
from lorapool_api.wire.state import AdapterPhase
from lorapool_common.backoff import Backoff
from lorapool_runtime.adapters.file import AdapterFile
from lorapool_runtime.catalog.holdings import Holdings
from lorapool_runtime.catalog.index import CatalogIndex
from lorapool_runtime.catalog.order.own_first import OwnFirst, is_always_own
from lorapool_runtime.catalog.order.pacing import Pacing
from lorapool_runtime.catalog.slot import CatalogSlot
from lorapool_runtime.catalog.tiers import TierIndex
from lorapool_runtime.errors import AdapterError

log = structlog.get_logger(__name__)

MakeBackoff = Callable[[], Backoff]
SOURCE_BACKOFF: MakeBackoff = partial(Backoff, 2.0, 300.0)


class Sources(Protocol):
    """Where files come from."""

    async def load(self, entry: CatalogEntry, *, is_ahead: bool = False) -> AdapterFile: ...
    def forget(self, source: FileSource) -> None: ...
    def discard(self, file: AdapterFile) -> None: ...


class SlotLoader:
    """Loads, checks and tries again. Lives on the event loop."""

    def __init__(
        self,
        index: CatalogIndex,
        sources: Sources,
        check: Callable[[AdapterFile], Awaitable[None]],
        tiers: TierIndex,
        on_settled: Callable[[], None],
        holdings: Holdings,
        to_memory: Callable[[AdapterFile], Awaitable[None]],
        backoff: MakeBackoff = SOURCE_BACKOFF,
        is_own: Callable[[str], bool] = is_always_own,
    ) -> None:
        """Args:
        check: waits until the base is warm; raises AdapterError or FactsError for a file that it cannot serve.
        on_settled: called when an adapter is ready, or has failed.
        to_memory: reads an adapter into host memory where that has room. Raises: AdapterError.
        is_own: whether this pod fetches the adapter's file for all pods, by the adapter's key.
        """
        self._index = index
        self._sources = sources
        self._check = check
        self._tiers = tiers
        self._on_settled = on_settled
        self._holdings = holdings
        self._to_memory = to_memory
        self._backoff = backoff
        self._pacing = Pacing()
        self._own_first = OwnFirst(is_own)

    def start(self, slot: CatalogSlot) -> None:
        """Load the adapter; what may pass is tried again, ever more rarely, as long as the pod shall hold it."""
        self._start(slot, is_urgent=False)

    def request(self, key: str, *, is_urgent: bool = True) -> None:
        """Load it, if that has not begun, or may succeed now. `is_urgent`: somebody waits for it."""
        slot = self._index.get(key)
        if slot is not None and (slot.phase is AdapterPhase.REMOTE or slot.may_try_again):
            self._start(slot, is_urgent=is_urgent)
        elif is_urgent:
            self._own_first.hurry(key)

    def _start(self, slot: CatalogSlot, *, is_urgent: bool) -> None:
        self._progress(slot, AdapterPhase.DOWNLOADING, "")
        self._begin(slot, is_urgent=is_urgent)

    def _begin(self, slot: CatalogSlot, *, is_urgent: bool) -> None:
        key = slot.entry.key
        load = self._load_now(slot) if is_urgent else self._load_in_turn(slot)
        slot.task = asyncio.create_task(load, name=f"load {key}")
        if not is_urgent:
            self._own_first.begin(key)
            slot.task.add_done_callback(lambda _: self._own_first.fetched(key))

    async def refetch(self, slot: CatalogSlot) -> AdapterFile:
        """The file of an adapter that is ready, once more, however many ask. Raises: AdapterError."""
        if slot.again is None or slot.again.done():
            slot.again = asyncio.create_task(self._sources.load(slot.entry), name=f"load {slot.entry.key} again")
        return await asyncio.shield(slot.again)

    def fail(self, slot: CatalogSlot, error: AdapterError) -> None:
        """The adapter cannot be served."""
        log.warning("adapter failed", adapter=slot.entry.key, reason=error.reason, error=error.message)
        slot.phase, slot.error, slot.failed_at_s = AdapterPhase.FAILED, error, asyncio.get_running_loop().time()
        self._index.touch(slot)
        self._discard(slot, error)
        self._on_settled()

    def start_again(self, slot: CatalogSlot, error: AdapterError) -> None:
        """The adapter has failed, and is loaded like a new one, unless it is already, or not wanted any more."""
        if self._index.get(slot.entry.key) is slot and (slot.task is None or slot.task.done()):
            self.fail(slot, error)
            self._index.set_file(slot, None)
            self._begin(slot, is_urgent=True)

    async def _load_in_turn(self, slot: CatalogSlot) -> None:
        await self._own_first.turn(slot.entry.key)
        await self._pacing.turn()
        error = await self._attempt(slot, is_ahead=True)
        self._own_first.fetched(slot.entry.key)
        await self._until_ready(slot, error, is_ahead=True)

    async def _load_now(self, slot: CatalogSlot) -> None:
        await self._until_ready(slot, await self._attempt(slot, is_ahead=False), is_ahead=False)

    async def _until_ready(self, slot: CatalogSlot, error: AdapterError | None, *, is_ahead: bool) -> None:
        backoff = self._backoff()
        while error is not None:
            self.fail(slot, error)
            if not error.transient or slot.entry.key not in self._holdings:
                return
            await asyncio.sleep(backoff.next())
            error = await self._attempt(slot, is_ahead=is_ahead)

    async def _attempt(self, slot: CatalogSlot, *, is_ahead: bool) -> AdapterError | None:
        try:
            await self._load(slot, is_ahead=is_ahead)
        except AdapterError as error:
            return error
        except FactsError as error:
            return AdapterError.of(error)
        except FileNotFoundError:
            message = "the file left the pod's cache before it was read: another one needed the room"
            return AdapterError(Reason.SOURCE_UNAVAILABLE, message)
        except Exception as error:
            log.exception("loading an adapter failed", adapter=slot.entry.key)
            return AdapterError(Reason.INTERNAL_ERROR, f"unexpected {type(error).__name__}; see the pod's log")
        return None

    async def _load(self, slot: CatalogSlot, *, is_ahead: bool) -> None:
        file = await self._sources.load(slot.entry, is_ahead=is_ahead)
        self._own_first.fetched(slot.entry.key)
        self._index.set_file(slot, file)
        self._progress(slot, AdapterPhase.LOADING, "waiting for the base model")
        await self._check(file)
        self._progress(slot, AdapterPhase.READY, "")
        self._tiers.refresh()
        self._on_settled()
        if self._holdings.in_memory and slot.entry.key in self._holdings:
            await self._to_memory(file)
            self._tiers.refresh()

    def _progress(self, slot: CatalogSlot, phase: AdapterPhase, message: str) -> None:
        slot.phase, slot.message, slot.error = phase, message, None
        slot.tier = self._tiers.of(slot)
        self._index.touch(slot)

    def _discard(self, slot: CatalogSlot, error: AdapterError) -> None:
        """A file that was refused for good leaves the disk, unless another entry serves it or still may."""
        if error.transient or slot.file is None:
            return
        others = (other for other in self._index.with_file(slot.file.identity) if other is not slot)
        if all(other.phase is AdapterPhase.FAILED for other in others):
            self._sources.forget(slot.entry.source)
            self._sources.discard(slot.file)
