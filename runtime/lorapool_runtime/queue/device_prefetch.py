"""The weights of the next stack: on the device while another one is rendered."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor

import structlog

from lorapool_runtime.queue.entry import QueueEntry
from lorapool_runtime.queue.host_prefetch import HostPrefetcher
from lorapool_runtime.queue.renderer import GetRenderer

log = structlog.get_logger(__name__)


class DevicePrefetcher:
    """Copies the weights of one stack ahead. Lives on the event loop; the engine copies on `thread`."""

    def __init__(
        self, engine: GetRenderer, thread: Executor, host: HostPrefetcher, on_done: Callable[[], None]
    ) -> None:
        """`on_done` is called when a copy is over: another one may be the next by now."""
        self._engine = engine
        self._thread = thread
        self._host = host
        self._on_done = on_done
        self._task: asyncio.Future[None] | None = None
        self._last: tuple[str, ...] = ()

    def reset(self) -> None:
        """Another forward begins: what was copied before may have been evicted."""
        self._last = ()

    def prefetch(self, entry: QueueEntry) -> None:
        """Copy its weights, unless that was done last, or another copy is under way, or they are not here yet."""
        is_new = entry.identities and entry.identities != self._last
        if is_new and self._task is None and self._host.has(entry):
            self._last = entry.identities
            self._task = asyncio.ensure_future(self._copy(entry))

    async def _copy(self, entry: QueueEntry) -> None:
        weights = self._host.hold(entry)
        adapters = [scaled.adapter for scaled in weights]
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._engine().prefetch, adapters)
        except Exception:
            log.exception("prefetching failed")
        finally:
            self._host.release(weights)
            self._task = None
            self._on_done()
