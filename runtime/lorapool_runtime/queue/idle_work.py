"""What the engine does for nobody's picture while nobody waits for one: how much of each adapter a merge would lose."""

import asyncio
from typing import Final, Protocol

import structlog

from lorapool_common.changes import Changes
from lorapool_runtime.adapters.file import HostAdapter
from lorapool_runtime.errors import Stopped
from lorapool_runtime.queue.dispatcher import Dispatcher

log = structlog.get_logger(__name__)

# Between two looks, whatever changes; and where nothing does, for what a request has interrupted.
PAUSE_S: Final = 2.0
LOOK_S: Final = 30.0
# Devices add in another order: no status shall change for that.
_DIGITS: Final = 4


class UnmeasuredAdapters(Protocol):
    """The adapters in host memory of which it is not known."""

    def unmeasured(self) -> HostAdapter | None:
        """One of them; None: it is known of all."""

    def note_merge_loss(self, identity: str, loss: float | None) -> None:
        """It is known now; None: nothing can be told of this one, and it is not to be asked for again."""


class MergeLosses:
    """Measures each adapter once in this process. Lives on the event loop.

    Only of adapters that are in host memory anyway, and only while no request waits or runs: one that comes waits for
    the module that is being looked at, some milliseconds.
    """

    def __init__(
        self, adapters: UnmeasuredAdapters, dispatcher: Dispatcher, changes: Changes, pause_s: float = PAUSE_S
    ) -> None:
        self._adapters = adapters
        self._dispatcher = dispatcher
        self._changes = changes
        self._pause_s = pause_s

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            seen = self._changes.version
            await self._measure_all()
            await self._changes.beyond(seen, LOOK_S)
            await asyncio.sleep(self._pause_s)

    async def _measure_all(self) -> None:
        """All that there are, or until a request comes."""
        while (adapter := self._adapters.unmeasured()) is not None:
            try:
                loss = await self._dispatcher.merge_loss(adapter)
            except Stopped:
                return
            except Exception:
                log.exception("what a merge would lose could not be measured", adapter=adapter.identity[:12])
                loss = None
            self._adapters.note_merge_loss(adapter.identity, None if loss is None else round(loss, _DIGITS))
