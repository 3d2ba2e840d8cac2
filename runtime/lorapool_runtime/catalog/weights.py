"""Adapters for a request: their files when it comes, their weights when its turn comes."""

import asyncio
from collections.abc import Callable, Iterable, Sequence

from lorapool_api.kinds.serving import AdapterDefaults, ServingLimits
from lorapool_api.rules.defaults import of_stack
from lorapool_api.wire.reply import ErrorCode
from lorapool_api.wire.request import AdapterUse
from lorapool_api.wire.state import AdapterPhase, Tier
from lorapool_api.wire.weighting.scale import filled
from lorapool_runtime.adapters.file import AdapterFile, HostAdapter, ScaledAdapter
from lorapool_runtime.catalog.host.cache import HostCache
from lorapool_runtime.catalog.index import CatalogIndex
from lorapool_runtime.catalog.loading import SlotLoader
from lorapool_runtime.catalog.slot import CatalogSlot, gone
from lorapool_runtime.errors import AdapterError, RequestError


class Weights:
    """Gives requests what they name. Lives on the event loop.

    Attributes:
        waiting: requests that wait for files.
    """

    def __init__(self, index: CatalogIndex, cache: HostCache, loader: SlotLoader, on_moved: Callable[[], None]) -> None:
        """`on_moved` is called when adapters may have come to host memory, or left it."""
        self._index = index
        self._cache = cache
        self._loader = loader
        self._on_moved = on_moved
        self.waiting = 0

    async def until_loaded(self, keys: Iterable[str], within_s: float) -> None:
        """Return when none of these is on its way any more, or the time is over; one load for however many wait."""
        clock = asyncio.get_running_loop().time
        ends_at = clock() + within_s
        self.waiting += 1
        try:
            for key in dict.fromkeys(keys):
                self._loader.request(key)
                while (slot := self._index.get(key)) and slot.is_on_its_way and (left_s := ends_at - clock()) > 0:
                    await slot.changed(left_s)
        finally:
            self.waiting -= 1

    def tier(self, key: str) -> Tier:
        """Where the weights of an adapter are now; remote where it cannot be served yet."""
        slot = self._index.get(key)
        return slot.tier if slot is not None and slot.phase is AdapterPhase.READY else Tier.REMOTE

    def request(self, key: str) -> None:
        """Another pod asks for its file: load it, if that has not begun, or may succeed now."""
        self._loader.request(key)

    def take(self, uses: Sequence[AdapterUse]) -> tuple[ScaledAdapter[AdapterFile], ...]:
        """The file and the strength of each use; its weights are read when the request's turn comes.

        Raises:
            RequestError: an adapter is unknown, has failed, is still on its way, or is another file than asked for.
        """
        return tuple(self._take(use) for use in uses)

    def defaults(self, uses: Sequence[AdapterUse], limits: ServingLimits) -> AdapterDefaults:
        """What a request with this stack gets that does not say. `limits` are the pool's."""
        slots = (self._index.get(use.key) for use in uses)
        return of_stack(slot.defaults(limits) for slot in slots if slot is not None)

    async def load(self, wanted: ScaledAdapter[AdapterFile]) -> HostAdapter:
        """The weights, in host memory. A file that has left the disk is fetched again, however many ask.

        Raises:
            RequestError: it cannot be read, or it is not to be had any more.
        """
        try:
            return await self._cache.load(wanted.adapter)
        except FileNotFoundError:
            return await self._load_again(wanted)
        except AdapterError as error:
            slot = self._slot_of(wanted)
            if slot is not None:
                self._loader.fail(slot, error)
            raise _failed(wanted.key, error) from error
        finally:
            self._on_moved()

    def _take(self, use: AdapterUse) -> ScaledAdapter[AdapterFile]:
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
        return ScaledAdapter(slot.file, filled(use.scale, slot.entry.scale), use.key)

    def _slot_of(self, wanted: ScaledAdapter[AdapterFile]) -> CatalogSlot | None:
        """The slot that the file was taken from, if the catalog still has it like that."""
        slot = self._index.get(wanted.key)
        is_same = slot is not None and slot.file is not None and slot.file.identity == wanted.adapter.identity
        return slot if is_same else None

    async def _load_again(self, wanted: ScaledAdapter[AdapterFile]) -> HostAdapter:
        missing = gone(wanted.adapter)
        slot = self._slot_of(wanted)
        if slot is None:
            raise _failed(wanted.key, missing)
        try:
            fetched = await self._loader.refetch(slot)
            if fetched.identity == wanted.adapter.identity:
                return await self._cache.load(fetched)
        except (AdapterError, FileNotFoundError) as error:
            missing = error if isinstance(error, AdapterError) else missing
            self._loader.start_again(slot, missing)
            raise _failed(wanted.key, missing) from error
        # Other weights than those that were checked: they start over.
        self._loader.start_again(slot, missing)
        raise _failed(wanted.key, missing)


def _failed(key: str, error: AdapterError) -> RequestError:
    message = f"adapter {key}: {error.message}"
    return RequestError(ErrorCode.ADAPTER_FAILED, message, reason=error.reason, retryable=error.transient)
