"""The adapters that this pod may serve: the catalog, how far each one is, and taking them for a request."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Protocol

import structlog

from lorapool_api.kinds.conditions import Reason
from lorapool_api.lora.header import FactsError
from lorapool_api.wire.catalog import Catalog, CatalogDelta, CatalogEntry, FileSource
from lorapool_api.wire.reply import ErrorCode
from lorapool_api.wire.request import AdapterUse
from lorapool_api.wire.state import AdapterPhase, AdapterState, Tier
from lorapool_runtime.adapters.file import AdapterFile, HostAdapter, ScaledAdapter
from lorapool_runtime.catalog import pins
from lorapool_runtime.catalog.device import DeviceCache
from lorapool_runtime.catalog.host_cache import HostCache
from lorapool_runtime.catalog.index import CatalogIndex
from lorapool_runtime.catalog.slot import CatalogSlot, back_off_s, gone, must_start_over
from lorapool_runtime.catalog.tiers import TierIndex
from lorapool_runtime.errors import AdapterError, RequestError
from lorapool_runtime.versions import Versions

log = structlog.get_logger(__name__)


class Sources(Protocol):
    """Where files come from."""

    async def load(self, entry: CatalogEntry) -> AdapterFile: ...
    def forget(self, source: FileSource) -> None: ...
    def discard(self, file: AdapterFile) -> None: ...


class Registry:
    """Lives on the event loop; every entry is loaded by a task of its own, so none waits for another."""

    def __init__(
        self,
        versions: Versions,
        sources: Sources,
        memory: HostCache,
        device: DeviceCache,
        check: Callable[[AdapterFile], Awaitable[None]],
        to_device: Callable[[HostAdapter], Awaitable[None]],
        on_changed: Callable[[], None] = lambda: None,
    ) -> None:
        """Args:
        check: waits until the base is warm; raises AdapterError or FactsError for a file that it cannot serve.
        to_device: copies an adapter to the device.
        on_changed: called when the catalog, or what of it can be served, has changed.
        """
        self._versions = versions
        self._sources = sources
        self._memory = memory
        self._device = device
        self._check = check
        self._on_changed = on_changed
        self._pins = pins.Pins(device, memory, to_device, self.refresh_tiers)
        self._index = CatalogIndex(versions)
        self.tier_index = TierIndex(self._index, memory, device)
        self._digest: str | None = None

    # ---- the catalog -------------------------------------------------------------------------------------------

    @property
    def digest(self) -> str | None:
        return self._digest

    def catalog(self) -> Catalog | None:
        """The catalog as it stands, with the digest that its maker gave it."""
        if self._digest is None:
            return None
        entries = tuple(slot.entry for slot in self._index)
        return Catalog.model_construct(digest=self._digest, entries=entries)

    def replace(self, catalog: Catalog) -> None:
        """Serve these adapters and no others; what is unchanged goes on undisturbed."""
        wanted = {e.key for e in catalog.entries}
        self._apply(catalog.digest, catalog.entries, list(self._index.keys() - wanted))

    def patch(self, delta: CatalogDelta) -> None:
        """Raises: RequestError (`DigestMismatch`) when the delta is about another catalog than this one."""
        if delta.base != self._digest:
            message = f"the delta is about catalog {delta.base[:12]}; this pod has {(self._digest or 'none')[:12]}"
            raise RequestError(ErrorCode.DIGEST_MISMATCH, message, retryable=True)
        self._apply(delta.digest, delta.upsert, delta.remove)

    def _apply(self, digest: str, upsert: Iterable[CatalogEntry], remove: Iterable[str]) -> None:
        for key in remove:
            self._remove(key)
        for entry in upsert:
            self._upsert(entry)
        self._settle_pins()
        if digest != self._digest:
            self._digest = digest
            self._versions.bump()
        self._on_changed()

    def _upsert(self, entry: CatalogEntry) -> None:
        slot = self._index.get(entry.key)
        if slot is not None and slot.entry == entry:
            return
        if slot is not None and not must_start_over(slot, entry):
            slot.entry = entry
            self._index.touch(slot)
            return
        if slot is not None:
            self._index.pop(entry.key, is_replaced=True)
            self._let_go(slot)
        fresh = CatalogSlot(entry)
        self._index.put(fresh)
        fresh.task = asyncio.create_task(self._load_until_ready(fresh), name=f"load {entry.key}")

    def _remove(self, key: str) -> None:
        slot = self._index.pop(key)
        if slot is not None:
            self._let_go(slot)

    def _let_go(self, slot: CatalogSlot) -> None:
        """Stop loading it and free its memory; a request that runs with it holds on to what it needs."""
        if slot.task is not None:
            slot.task.cancel()
        if not self._index.has_source(slot.entry.source):
            self._sources.forget(slot.entry.source)
        if slot.file and not self._index.with_file(slot.file.identity):
            self._memory.drop(slot.file.identity)
            self._device.forget(slot.file.identity)

    async def close(self) -> None:
        tasks = [h.task for h in self._index if h.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._pins.close()

    def _settle_pins(self) -> None:
        self._pins.settle(h.file for h in self._index.pinned if h.file is not None)

    # ---- how far each one is -----------------------------------------------------------------------------------

    @property
    def ready(self) -> Collection[str]:
        """Keys of the adapters that can be served."""
        return self._index.ready

    def is_on_its_way(self, key: str) -> bool:
        """Whether an adapter of the catalog is neither ready nor refused yet."""
        slot = self._index.get(key)
        return slot is not None and slot.phase in (AdapterPhase.DOWNLOADING, AdapterPhase.LOADING)

    def states(self, since: int | None = None, keys: Iterable[str] | None = None) -> dict[str, AdapterState]:
        """The states of all adapters, or of those of these keys, or of those that changed since a version."""
        if keys is not None:
            named = (self._index.get(key) for key in keys)
            return {h.entry.key: h.state() for h in named if h is not None}
        found = self._index if since is None else self._index.changed_since(since)
        return {h.entry.key: h.state() for h in found}

    def removed_since(self, version: int) -> tuple[str, ...] | None:
        """Adapters that have gone since that version; None where that is not known any more."""
        return self._index.removed_since(version)

    def tiers(self) -> dict[str, Tier]:
        """The adapters that can be served, and where they are."""
        return self.tier_index.all()

    def refresh_tiers(self) -> None:
        """Note where adapters are that have moved; to be called when some may have."""
        self.tier_index.refresh()

    # ---- loading -----------------------------------------------------------------------------------------------

    async def _load_until_ready(self, slot: CatalogSlot) -> None:
        """Bring the adapter; what may pass is tried again, ever more rarely, as long as the entry is wanted."""
        failures = 0
        while True:
            error = await self._attempt(slot)
            if error is None:
                return
            self._fail(slot, error)
            if not error.transient:
                return
            failures += 1
            await asyncio.sleep(back_off_s(failures))

    async def _attempt(self, slot: CatalogSlot) -> AdapterError | None:
        try:
            await self._load(slot)
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

    async def _load(self, slot: CatalogSlot) -> None:
        self._index.set_file(slot, await self._sources.load(slot.entry))
        self._progress(slot, AdapterPhase.LOADING, "waiting for the base model")
        assert slot.file is not None  # noqa: S101 -- set above
        await self._check(slot.file)
        self._progress(slot, AdapterPhase.READY, "")
        self.refresh_tiers()
        self._settle_pins()
        self._on_changed()

    def _progress(self, slot: CatalogSlot, phase: AdapterPhase, message: str) -> None:
        slot.phase, slot.message, slot.error = phase, message, None
        slot.tier = self.tier_index.of(slot)
        self._index.touch(slot)

    def _fail(self, slot: CatalogSlot, error: AdapterError) -> None:
        log.warning("adapter failed", adapter=slot.entry.key, reason=error.reason, error=error.message)
        slot.phase, slot.error = AdapterPhase.FAILED, error
        self._index.touch(slot)
        self._discard(slot, error)
        self._on_changed()

    def _discard(self, slot: CatalogSlot, error: AdapterError) -> None:
        """A file that was refused for good leaves the disk, unless another entry serves it or still may."""
        if error.transient or slot.file is None:
            return
        others = (h for h in self._index.with_file(slot.file.identity) if h is not slot)
        if all(h.phase is AdapterPhase.FAILED for h in others):
            self._sources.forget(slot.entry.source)
            self._sources.discard(slot.file)

    # ---- taking adapters for a request -------------------------------------------------------------------------

    def take(self, uses: Sequence[AdapterUse]) -> tuple[ScaledAdapter[AdapterFile], ...]:
        """The file and the strength of each use; its weights are read when the request's turn comes.

        Raises:
            RequestError: an adapter is unknown, has failed, is still on its way, or is another file than asked for.
        """
        return tuple(self._scaled(use) for use in uses)

    def _scaled(self, use: AdapterUse) -> ScaledAdapter[AdapterFile]:
        slot = self._index.get(use.key)
        if slot is None:
            raise RequestError(ErrorCode.UNKNOWN_ADAPTER, f"this pod has no adapter {use.key!r}")
        if slot.error is not None:
            raise _failed(use.key, slot.error)
        if slot.phase is not AdapterPhase.READY or slot.file is None:
            message = f"adapter {use.key} is still {slot.phase}"
            raise RequestError(ErrorCode.ADAPTER_NOT_READY, message, retryable=True)
        if use.sha256 not in (None, slot.file.sha256):
            message = f"adapter {use.key} is file {slot.file.sha256[:12]} here, not {str(use.sha256)[:12]}"
            raise RequestError(ErrorCode.ADAPTER_NOT_READY, message, retryable=True)
        return ScaledAdapter(slot.file, slot.entry.scale if use.scale is None else use.scale, use.key)

    async def load(self, wanted: ScaledAdapter[AdapterFile]) -> HostAdapter:
        """The weights, in host memory. A file that has left the disk is fetched again, however many ask.

        Raises:
            RequestError: it cannot be read, or it is not to be had any more.
        """
        try:
            return await self._memory.get(wanted.adapter)
        except FileNotFoundError:
            return await self._load_again(wanted)
        except AdapterError as error:
            slot = self._of(wanted)
            if slot is not None:
                self._fail(slot, error)
            raise _failed(wanted.key, error) from error
        finally:
            self.refresh_tiers()

    def _of(self, wanted: ScaledAdapter[AdapterFile]) -> CatalogSlot | None:
        """The entry that the file was taken from, if the catalog still has it like that."""
        slot = self._index.get(wanted.key)
        is_same = slot is not None and slot.file is not None and slot.file.identity == wanted.adapter.identity
        return slot if is_same else None

    async def _load_again(self, wanted: ScaledAdapter[AdapterFile]) -> HostAdapter:
        missing = gone(wanted.adapter)
        slot = self._of(wanted)
        if slot is None:
            raise _failed(wanted.key, missing)
        if slot.again is None or slot.again.done():
            slot.again = asyncio.create_task(self._sources.load(slot.entry), name=f"load {wanted.key} again")
        try:
            fetched = await asyncio.shield(slot.again)
            if fetched.identity == wanted.adapter.identity:
                return await self._memory.get(fetched)
        except (AdapterError, FileNotFoundError) as error:
            missing = error if isinstance(error, AdapterError) else missing
            self._start_again(slot, missing)
            raise _failed(wanted.key, missing) from error
        # Other weights than those that were checked: they start over.
        self._start_again(slot, missing)
        raise _failed(wanted.key, missing)

    def _start_again(self, slot: CatalogSlot, error: AdapterError) -> None:
        if self._index.get(slot.entry.key) is slot and (slot.task is None or slot.task.done()):
            self._fail(slot, error)
            self._index.set_file(slot, None)
            slot.task = asyncio.create_task(self._load_until_ready(slot), name=f"load {slot.entry.key}")


def _failed(key: str, error: AdapterError) -> RequestError:
    message = f"adapter {key}: {error.message}"
    return RequestError(ErrorCode.ADAPTER_FAILED, message, reason=error.reason, retryable=error.transient)
