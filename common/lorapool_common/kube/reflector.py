"""Keeps a consumer in step with the API server: lists, watches until the watch ends, lists again (client-go's name)."""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from contextlib import aclosing
from typing import Final, Protocol

import structlog

from lorapool_common.backoff import Backoff
from lorapool_common.kube.errors import ApiError
from lorapool_common.kube.replies import Listing
from lorapool_common.kube.resources import Manifest, Selection
from lorapool_common.kube.watch_events import WatchEvent

log = structlog.get_logger(__name__)

EXPIRED: Final = 410


class Consumer(Protocol):
    """Receives all objects, and then each change of one."""

    def replace(self, objects: Sequence[Manifest]) -> None:
        """These are all objects that there are."""

    def put(self, manifest: Manifest) -> None:
        """An object was added or modified."""

    def drop(self, manifest: Manifest) -> None:
        """An object was deleted; this is its last state."""


class ListerWatcher(Protocol):
    """Lists and watches. Raises: ApiError."""

    async def listing(self, selection: Selection) -> Listing: ...

    def watch(self, selection: Selection, version: str) -> AsyncGenerator[WatchEvent, None]: ...


class Reflector:
    """Follows a selection of objects for as long as it runs.

    Each watch is followed by a new list, so whatever a watch has missed is found a few minutes later. While the API
    server is away the consumers are told nothing, and the reflector tries again for ever.

    Args:
        expected: statuses that are no reason for a warning; 410 is none: the version is too old to watch from, and
            the next list brings a newer one.
    """

    def __init__(
        self,
        source: ListerWatcher,
        selection: Selection,
        *consumers: Consumer,
        expected: Collection[int] = (EXPIRED,),
        backoff: Backoff | None = None,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._source = source
        self._selection = selection
        self._consumers = consumers
        self._expected = {EXPIRED, *expected}
        self._backoff = backoff or Backoff(0.2, 5.0)
        self._clock = clock
        self._pause = pause
        self._is_away = False
        self._listed_s = -math.inf
        self.synced = asyncio.Event()

    @property
    def age_s(self) -> float:
        """How long ago all objects were listed last."""
        return self._clock() - self._listed_s

    async def run(self) -> None:
        """Never returns."""
        while True:
            began, asked_s = self._clock(), 0.0
            try:
                await self._list_and_watch()
            except ApiError as error:
                asked_s = error.retry_after_s
                self._log(error)
            if self._clock() - began > self._backoff.last_s:
                self._backoff.reset()
            await self._pause(self._backoff.next(asked_s))

    async def _list_and_watch(self) -> None:
        listed = await self._source.listing(self._selection)
        for consumer in self._consumers:
            consumer.replace(listed.items)
        self._is_away, self._listed_s = False, self._clock()
        self.synced.set()
        async with aclosing(self._source.watch(self._selection, listed.version)) as changes:
            async for change, manifest in changes:
                for consumer in self._consumers:
                    (consumer.drop if change == "DELETED" else consumer.put)(manifest)

    def _log(self, error: ApiError) -> None:
        """One warning for each time that the API server is away, not one for each try."""
        is_news = error.status not in self._expected and not self._is_away
        self._is_away = self._is_away or is_news
        fields = {"path": self._selection.path, "status": error.status, "error": error.message}
        (log.warning if is_news else log.debug)("the API server cannot be listed or watched", **fields)
