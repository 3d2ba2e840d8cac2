"""The weights of the requests that come next: in host memory before their turn, and no others held there."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, Protocol

import structlog

from lorapool_api.wire.reply import ErrorCode
from lorapool_runtime.adapters.file import AdapterFile, HostAdapter, ScaledAdapter
from lorapool_runtime.errors import RequestError
from lorapool_runtime.queue.entry import QueueEntry

log = structlog.get_logger(__name__)

# So many stacks beyond the one that runs are kept ready; what they take counts to the host's budget.
STACKS: Final = 4

Identities = tuple[str, ...]
LoadWeights = Callable[[ScaledAdapter[AdapterFile]], Awaitable[HostAdapter]]


class WeightCache(Protocol):
    """Adapters in host memory. What is held stays."""

    def holds(self, identity: str) -> bool: ...
    def get(self, identity: str) -> HostAdapter | None: ...
    def fits(self, files: Iterable[AdapterFile]) -> bool: ...
    def hold(self, adapter: HostAdapter) -> None: ...
    def release(self, identity: str) -> None: ...


class HostPrefetcher:
    """Loads and holds the weights that come next. Lives on the event loop."""

    def __init__(
        self,
        cache: WeightCache,
        load: LoadWeights,
        on_change: Callable[[], None],
        on_failed: Callable[[Identities, RequestError], None],
    ) -> None:
        """`on_change`: what was on its way is here, or is not coming. `on_failed`: it cannot be had, and why."""
        self._cache = cache
        self._load = load
        self._on_change = on_change
        self._on_failed = on_failed
        self._held: set[Identities] = set()
        self._loading: dict[Identities, asyncio.Task[None]] = {}

    def has(self, entry: QueueEntry) -> bool:
        """Whether the request could begin now."""
        return all(self._cache.holds(identity) for identity in entry.identities)

    def prefetch(self, entries: Iterable[QueueEntry], *, must: bool) -> None:
        """Load the weights of these, which come next, in this order, as far as there is room; let go of all others.

        Args:
            must: nothing runs, and the first of them cannot wait for room.
        """
        wanted: dict[Identities, QueueEntry] = {}
        for entry in entries:
            if entry.identities and len(wanted) < STACKS:
                wanted.setdefault(entry.identities, entry)
        for identities in self._held - wanted.keys():
            self._held.remove(identities)
            self._release(identities)
        for number, (identities, entry) in enumerate(wanted.items()):
            if identities in self._held or identities in self._loading:
                continue
            if self.has(entry):
                self.hold(entry)
                self._held.add(identities)
            elif (must and number == 0) or self._cache.fits(scaled.adapter for scaled in entry.request.stack):
                self._loading[identities] = asyncio.create_task(self._fetch(entry), name="weights")

    def hold(self, entry: QueueEntry) -> tuple[ScaledAdapter[HostAdapter], ...]:
        """The weights of a request that it `has`, held until they are released."""
        return tuple(self._hold(scaled) for scaled in entry.request.stack)

    def release(self, weights: Iterable[ScaledAdapter[HostAdapter]]) -> None:
        self._release(scaled.adapter.identity for scaled in weights)

    async def close(self) -> None:
        tasks = list(self._loading.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _hold(self, scaled: ScaledAdapter[AdapterFile]) -> ScaledAdapter[HostAdapter]:
        adapter = self._cache.get(scaled.adapter.identity)
        if adapter is None:
            raise LookupError(f"adapter {scaled.key} is not in host memory")
        self._cache.hold(adapter)
        return scaled.of(adapter)

    def _release(self, identities: Iterable[str]) -> None:
        for identity in identities:
            self._cache.release(identity)

    async def _fetch(self, entry: QueueEntry) -> None:
        there: list[str] = []
        clock = asyncio.get_running_loop().time
        began_s = clock()
        try:
            for scaled in entry.request.stack:
                adapter = await self._load(scaled)
                self._cache.hold(adapter)
                there.append(adapter.identity)
            entry.read_s = clock() - began_s
        except RequestError as error:
            self._on_failed(entry.identities, error)
        except Exception:
            log.exception("reading an adapter failed", adapters=[scaled.key for scaled in entry.request.stack])
            message = "the adapter could not be read; the pod's log has the reason"
            self._on_failed(entry.identities, RequestError(ErrorCode.INTERNAL, message))
        finally:
            del self._loading[entry.identities]
            if len(there) == len(entry.identities):
                self._held.add(entry.identities)
            else:
                self._release(there)
            self._on_change()
