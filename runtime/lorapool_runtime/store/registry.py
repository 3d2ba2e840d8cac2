"""The adapters that this pod may serve: the catalog, how far each one is, and taking them for a request."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol

import structlog

from lorapool_api.conditions import Reason
from lorapool_api.fit import Modules, check_fits
from lorapool_api.header import FactsError
from lorapool_api.wire.catalog import Catalog, CatalogDelta, CatalogEntry, FileSource
from lorapool_api.wire.reply import ErrorCode
from lorapool_api.wire.request import AdapterUse
from lorapool_api.wire.state import AdapterPhase, AdapterState, Tier
from lorapool_runtime.errors import AdapterError, RequestError
from lorapool_runtime.store import pins
from lorapool_runtime.store.files import AdapterFile, HostAdapter
from lorapool_runtime.store.held import Held, back_off_s, gone, must_start_over
from lorapool_runtime.store.memory import HostMemory
from lorapool_runtime.store.versions import Versions

log = structlog.stdlib.get_logger(__name__)


class Sources(Protocol):
    """Where files come from."""

    async def bring(self, entry: CatalogEntry) -> AdapterFile: ...
    def forget(self, source: FileSource) -> None: ...


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
        modules: Callable[[], Awaitable[Modules]],
        to_device: Callable[[HostAdapter], Awaitable[None]],
    ) -> None:
        """`modules` waits until the base is warm and tells what an adapter may change in it."""
        self._versions = versions
        self._sources = sources
        self._memory = memory
        self._device = device
        self._modules = modules
        self._pins = pins.Pins(device, memory, to_device, self.refresh_tiers)
        self._held: dict[str, Held] = {}
        self._digest: str | None = None
        self._last_removal = 0

    # ---- the catalog -------------------------------------------------------------------------------------------

    @property
    def digest(self) -> str | None:
        return self._digest

    def catalog(self) -> Catalog | None:
        """The catalog as it stands, with the digest that its maker gave it."""
        if self._digest is None:
            return None
        return Catalog(digest=self._digest, entries=tuple(h.entry for h in self._held.values()))

    def replace(self, catalog: Catalog) -> None:
        """Serve these adapters and no others; what is unchanged goes on undisturbed."""
        wanted = {e.key for e in catalog.entries}
        self._apply(catalog.digest, catalog.entries, [k for k in self._held if k not in wanted])

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

    def _upsert(self, entry: CatalogEntry) -> None:
        held = self._held.get(entry.key)
        if held is not None and held.entry == entry:
            return
        if held is not None and not must_start_over(held, entry):
            held.entry = entry
            self._touch(held)
            return
        if held is not None:
            self._let_go(held)
        fresh = self._held[entry.key] = Held(entry)
        self._touch(fresh)
        fresh.task = asyncio.create_task(self._keep_trying(fresh), name=f"bring {entry.key}")

    def _remove(self, key: str) -> None:
        held = self._held.pop(key, None)
        if held is not None:
            self._let_go(held)
            self._last_removal = self._versions.bump()

    def _let_go(self, held: Held) -> None:
        """Stop bringing it and free its memory; a request that runs with it holds on to what it needs."""
        if held.task is not None:
            held.task.cancel()
        others = [h for h in self._held.values() if h is not held]
        if not any(h.entry.source == held.entry.source for h in others):
            self._sources.forget(held.entry.source)
        if held.file and not any(h.file and h.file.identity == held.file.identity for h in others):
            self._memory.drop(held.file.identity)
            self._device.forget(held.file.identity)

    async def close(self) -> None:
        tasks = [h.task for h in self._held.values() if h.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._pins.close()

    def _settle_pins(self) -> None:
        ready = (h for h in self._held.values() if h.phase is AdapterPhase.READY)
        self._pins.settle(h.file for h in ready if h.file is not None and h.entry.pin)

    # ---- how far each one is -----------------------------------------------------------------------------------

    def states(self, since: int | None = None, keys: Iterable[str] | None = None) -> dict[str, AdapterState]:
        """The states of all adapters, or of those of these keys, or of those that changed since a version."""
        wanted = set(self._held) if keys is None else set(keys)
        return {k: h.state() for k, h in self._held.items() if k in wanted and h.version > (since or 0)}

    def removed_since(self, version: int) -> bool:
        """Whether an adapter has gone since: a list of changes could not tell."""
        return self._last_removal > version

    def tiers(self) -> dict[str, Tier]:
        """The adapters that can be served, and where they are."""
        return {k: h.tier for k, h in self._held.items() if h.phase is AdapterPhase.READY}

    def refresh_tiers(self) -> None:
        """Look again where the adapters are; to be called when some may have moved."""
        on_device = self._device.on_device()
        for held in self._held.values():
            tier = self._tier(held, on_device)
            if tier is not held.tier:
                held.tier = tier
                self._touch(held)

    def _tier(self, held: Held, on_device: frozenset[str]) -> Tier:
        if held.file is None:
            return Tier.REMOTE
        if held.file.identity in on_device:
            return Tier.DEVICE
        return Tier.HOST if self._memory.holds(held.file.identity) else Tier.DISK

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
        held.file = await self._sources.bring(held.entry)
        self._progress(held, AdapterPhase.LOADING, "waiting for the base model")
        modules = await self._modules()
        check_fits(held.file.facts, modules)
        # The whole file is read once, whether or not it stays in memory: READY promises that it can be served.
        await self._memory.get(held.file)
        self._progress(held, AdapterPhase.READY, "")
        self.refresh_tiers()
        self._settle_pins()

    def _progress(self, held: Held, phase: AdapterPhase, message: str) -> None:
        held.phase, held.message, held.error = phase, message, None
        held.tier = self._tier(held, self._device.on_device())
        self._touch(held)

    def _fail(self, held: Held, error: AdapterError) -> None:
        log.warning("adapter failed", adapter=held.entry.key, reason=error.reason, message=error.message)
        held.phase, held.error = AdapterPhase.FAILED, error
        self._touch(held)

    def _touch(self, held: Held) -> None:
        held.version = self._versions.bump()

    # ---- taking adapters for a request -------------------------------------------------------------------------

    async def take(self, uses: Sequence[AdapterUse]) -> tuple[tuple[str, HostAdapter, float], ...]:
        """(key, weights, scale) of each use, in host memory.

        Raises:
            RequestError: an adapter is unknown, has failed, is still on its way, or is another file than asked for.
        """
        ready = [(use, *self._ready(use)) for use in uses]
        taken = []
        for use, held, file in ready:
            scale = held.entry.scale if use.scale is None else use.scale
            taken.append((use.key, await self._load(held, file), scale))
        if ready:
            self.refresh_tiers()
        return tuple(taken)

    def _ready(self, use: AdapterUse) -> tuple[Held, AdapterFile]:
        held = self._held.get(use.key)
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
        return held, held.file

    async def _load(self, held: Held, file: AdapterFile) -> HostAdapter:
        try:
            return await self._memory.get(file)
        except FileNotFoundError:
            return await self._load_again(held, file)
        except AdapterError as error:
            self._fail(held, error)
            raise _failed(held.entry.key, error) from error

    async def _load_again(self, held: Held, file: AdapterFile) -> HostAdapter:
        """The file has left the disk since: fetch it once more, however many requests wait for it."""
        if held.again is None or held.again.done():
            held.again = asyncio.create_task(self._sources.bring(held.entry), name=f"bring {held.entry.key} again")
        try:
            fetched = await asyncio.shield(held.again)
            if fetched.identity == file.identity:
                return await self._memory.get(fetched)
        except (AdapterError, FileNotFoundError) as error:
            missing = error if isinstance(error, AdapterError) else gone(file)
            self._start_again(held, missing)
            raise _failed(held.entry.key, missing) from error
        # Other weights than those that were checked: they start over.
        missing = gone(file)
        self._start_again(held, missing)
        raise _failed(held.entry.key, missing)

    def _start_again(self, held: Held, error: AdapterError) -> None:
        if held.task is None or held.task.done():
            self._fail(held, error)
            held.file = None
            held.task = asyncio.create_task(self._keep_trying(held), name=f"bring {held.entry.key}")


def _failed(key: str, error: AdapterError) -> RequestError:
    message = f"adapter {key}: {error.message}"
    return RequestError(ErrorCode.ADAPTER_FAILED, message, reason=error.reason, retryable=error.transient)
