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
from lorapool_runtime.adapters.file import AdapterFile, Chosen, HostAdapter
from lorapool_runtime.catalog import pins
from lorapool_runtime.catalog.host_cache import HostMemory
from lorapool_runtime.catalog.places import Places
from lorapool_runtime.catalog.shelf import Shelf
from lorapool_runtime.catalog.slot import Held, back_off_s, gone, must_start_over
from lorapool_runtime.errors import AdapterError, RequestError
from lorapool_runtime.versions import Versions

log = structlog.get_logger(__name__)


class Sources(Protocol):
    """Where files come from."""

    async def bring(self, entry: CatalogEntry) -> AdapterFile: ...
    def forget(self, source: FileSource) -> None: ...
    def discard(self, file: AdapterFile) -> None: ...


class Device(pins.Device, Protocol):
    """What the engine keeps near itself."""

    def forget(self, identity: str) -> None: ...


class Registry:
    """Lives on the event loop; every entry is brought by a task of its own, so none waits for another."""

    def __init__(
        self,
        versions: Versions,
        sources: Sources,
        memory: HostMemory,
        device: Device,
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
        self._shelf = Shelf(versions)
        self.places = Places(self._shelf, memory, device)
        self._digest: str | None = None

    # ---- the catalog -------------------------------------------------------------------------------------------

    @property
    def digest(self) -> str | None:
        return self._digest

    def catalog(self) -> Catalog | None:
        """The catalog as it stands, with the digest that its maker gave it."""
        if self._digest is None:
            return None
        entries = tuple(held.entry for held in self._shelf)
        return Catalog.model_construct(digest=self._digest, entries=entries)

    def replace(self, catalog: Catalog) -> None:
        """Serve these adapters and no others; what is unchanged goes on undisturbed."""
        wanted = {e.key for e in catalog.entries}
        self._apply(catalog.digest, catalog.entries, list(self._shelf.keys() - wanted))

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
        held = self._shelf.get(entry.key)
        if held is not None and held.entry == entry:
            return
        if held is not None and not must_start_over(held, entry):
            held.entry = entry
            self._shelf.touch(held)
            return
        if held is not None:
            self._shelf.pop(entry.key, is_replaced=True)
            self._let_go(held)
        fresh = Held(entry)
        self._shelf.put(fresh)
        fresh.task = asyncio.create_task(self._keep_trying(fresh), name=f"bring {entry.key}")

    def _remove(self, key: str) -> None:
        held = self._shelf.pop(key)
        if held is not None:
            self._let_go(held)

    def _let_go(self, held: Held) -> None:
        """Stop bringing it and free its memory; a request that runs with it holds on to what it needs."""
        if held.task is not None:
            held.task.cancel()
        if not self._shelf.has_source(held.entry.source):
            self._sources.forget(held.entry.source)
        if held.file and not self._shelf.with_file(held.file.identity):
            self._memory.drop(held.file.identity)
            self._device.forget(held.file.identity)

    async def close(self) -> None:
        tasks = [h.task for h in self._shelf if h.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._pins.close()

    def _settle_pins(self) -> None:
        self._pins.settle(h.file for h in self._shelf.pinned if h.file is not None)

    # ---- how far each one is -----------------------------------------------------------------------------------

    @property
    def ready(self) -> Collection[str]:
        """Keys of the adapters that can be served."""
        return self._shelf.ready

    def is_on_its_way(self, key: str) -> bool:
        """Whether an adapter of the catalog is neither ready nor refused yet."""
        held = self._shelf.get(key)
        return held is not None and held.phase in (AdapterPhase.DOWNLOADING, AdapterPhase.LOADING)

    def states(self, since: int | None = None, keys: Iterable[str] | None = None) -> dict[str, AdapterState]:
        """The states of all adapters, or of those of these keys, or of those that changed since a version."""
        if keys is not None:
            named = (self._shelf.get(key) for key in keys)
            return {h.entry.key: h.state() for h in named if h is not None}
        found = self._shelf if since is None else self._shelf.changed_since(since)
        return {h.entry.key: h.state() for h in found}

    def removed_since(self, version: int) -> tuple[str, ...] | None:
        """Adapters that have gone since that version; None where that is not known any more."""
        return self._shelf.removed_since(version)

    def tiers(self) -> dict[str, Tier]:
        """The adapters that can be served, and where they are."""
        return self.places.all()

    def refresh_tiers(self) -> None:
        """Note where adapters are that have moved; to be called when some may have."""
        self.places.refresh()

    # ---- bringing ----------------------------------------------------------------------------------------------

    async def _keep_trying(self, held: Held) -> None:
        """Bring the adapter; what may pass is tried again, ever more rarely, as long as the entry is wanted."""
        failures = 0
        while True:
            error = await self._attempt(held)
            if error is None:
                return
            self._fail(held, error)
            if not error.transient:
                return
            failures += 1
            await asyncio.sleep(back_off_s(failures))

    async def _attempt(self, held: Held) -> AdapterError | None:
        try:
            await self._bring(held)
        except AdapterError as error:
            return error
        except FactsError as error:
            return AdapterError.of(error)
        except FileNotFoundError:
            message = "the file left the pod's cache before it was read: another one needed the room"
            return AdapterError(Reason.SOURCE_UNAVAILABLE, message)
        except Exception as error:
            log.exception("bringing an adapter failed", adapter=held.entry.key)
            return AdapterError(Reason.INTERNAL_ERROR, f"unexpected {type(error).__name__}; see the pod's log")
        return None

    async def _bring(self, held: Held) -> None:
        self._shelf.set_file(held, await self._sources.bring(held.entry))
        self._progress(held, AdapterPhase.LOADING, "waiting for the base model")
        assert held.file is not None  # noqa: S101 -- set above
        await self._check(held.file)
        self._progress(held, AdapterPhase.READY, "")
        self.refresh_tiers()
        self._settle_pins()
        self._on_changed()

    def _progress(self, held: Held, phase: AdapterPhase, message: str) -> None:
        held.phase, held.message, held.error = phase, message, None
        held.tier = self.places.of(held)
        self._shelf.touch(held)

    def _fail(self, held: Held, error: AdapterError) -> None:
        log.warning("adapter failed", adapter=held.entry.key, reason=error.reason, message=error.message)
        held.phase, held.error = AdapterPhase.FAILED, error
        self._shelf.touch(held)
        self._discard(held, error)
        self._on_changed()

    def _discard(self, held: Held, error: AdapterError) -> None:
        """A file that was refused for good leaves the disk, unless another entry serves it or still may."""
        if error.transient or held.file is None:
            return
        others = (h for h in self._shelf.with_file(held.file.identity) if h is not held)
        if all(h.phase is AdapterPhase.FAILED for h in others):
            self._sources.forget(held.entry.source)
            self._sources.discard(held.file)

    # ---- taking adapters for a request -------------------------------------------------------------------------

    def take(self, uses: Sequence[AdapterUse]) -> tuple[Chosen, ...]:
        """The file and the strength of each use; its weights are read when the request's turn comes.

        Raises:
            RequestError: an adapter is unknown, has failed, is still on its way, or is another file than asked for.
        """
        return tuple(self._chosen(use) for use in uses)

    def _chosen(self, use: AdapterUse) -> Chosen:
        held = self._shelf.get(use.key)
        if held is None:
            raise RequestError(ErrorCode.UNKNOWN_ADAPTER, f"this pod has no adapter {use.key!r}")
        if held.error is not None:
            raise _failed(use.key, held.error)
        if held.phase is not AdapterPhase.READY or held.file is None:
            message = f"adapter {use.key} is still {held.phase}"
            raise RequestError(ErrorCode.ADAPTER_NOT_READY, message, retryable=True)
        if use.sha256 not in (None, held.file.sha256):
            message = f"adapter {use.key} is file {held.file.sha256[:12]} here, not {str(use.sha256)[:12]}"
            raise RequestError(ErrorCode.ADAPTER_NOT_READY, message, retryable=True)
        return Chosen(use.key, held.file, held.entry.scale if use.scale is None else use.scale)

    async def load(self, chosen: Chosen) -> HostAdapter:
        """The weights, in host memory. A file that has left the disk is fetched again, however many ask.

        Raises:
            RequestError: it cannot be read, or it is not to be had any more.
        """
        try:
            return await self._memory.get(chosen.file)
        except FileNotFoundError:
            return await self._load_again(chosen)
        except AdapterError as error:
            held = self._of(chosen)
            if held is not None:
                self._fail(held, error)
            raise _failed(chosen.key, error) from error
        finally:
            self.refresh_tiers()

    def _of(self, chosen: Chosen) -> Held | None:
        """The entry that the file was taken from, if the catalog still has it like that."""
        held = self._shelf.get(chosen.key)
        is_same = held is not None and held.file is not None and held.file.identity == chosen.file.identity
        return held if is_same else None

    async def _load_again(self, chosen: Chosen) -> HostAdapter:
        missing = gone(chosen.file)
        held = self._of(chosen)
        if held is None:
            raise _failed(chosen.key, missing)
        if held.again is None or held.again.done():
            held.again = asyncio.create_task(self._sources.bring(held.entry), name=f"bring {chosen.key} again")
        try:
            fetched = await asyncio.shield(held.again)
            if fetched.identity == chosen.file.identity:
                return await self._memory.get(fetched)
        except (AdapterError, FileNotFoundError) as error:
            missing = error if isinstance(error, AdapterError) else missing
            self._start_again(held, missing)
            raise _failed(chosen.key, missing) from error
        # Other weights than those that were checked: they start over.
        self._start_again(held, missing)
        raise _failed(chosen.key, missing)

    def _start_again(self, held: Held, error: AdapterError) -> None:
        if self._shelf.get(held.entry.key) is held and (held.task is None or held.task.done()):
            self._fail(held, error)
            self._shelf.set_file(held, None)
            held.task = asyncio.create_task(self._keep_trying(held), name=f"bring {held.entry.key}")


def _failed(key: str, error: AdapterError) -> RequestError:
    message = f"adapter {key}: {error.message}"
    return RequestError(ErrorCode.ADAPTER_FAILED, message, reason=error.reason, retryable=error.transient)
