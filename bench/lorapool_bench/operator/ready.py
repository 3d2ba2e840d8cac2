"""Which adapters are served, as a watch sees it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from lorapool_common.changes import Changes
from lorapool_common.kube.client import Kube
from lorapool_common.kube.errors import ApiError
from lorapool_common.kube.resources import ADAPTERS, Manifest, Selection

# On a busy machine a thousand deletions take minutes; what was measured before them shall not be lost.
_DEADLINE_S: Final = 900.0


class ReadyWatch:
    """Follows the adapters of a namespace. Lives on the event loop.

    Attributes:
        present: names of all; `ready`: of those that are served.
        changed_s: when the last of that changed, on the clock of `time.monotonic`.
    """

    def __init__(self, kube: Kube, namespace: str) -> None:
        self._kube = kube
        self._selection = Selection(ADAPTERS, namespace)
        self._news = Changes()
        self.present: set[str] = set()
        self.ready: set[str] = set()
        self.changed_s = time.monotonic()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._follow()
            except ApiError:
                await asyncio.sleep(0.1)

    async def _follow(self) -> None:
        listing = await self._kube.listing(self._selection)
        self.present.clear()
        self.ready.clear()
        for manifest in listing.items:
            self._put(manifest)
        self._news.note()
        async for change, manifest in self._kube.watch(self._selection, listing.version):
            if change == "DELETED":
                self.present.discard(manifest["metadata"]["name"])
                self.ready.discard(manifest["metadata"]["name"])
                self._note()
            else:
                self._put(manifest)

    def _put(self, manifest: Manifest) -> None:
        name, before = manifest["metadata"]["name"], (len(self.present), len(self.ready))
        self.present.add(name)
        (self.ready.add if _is_ready(manifest) else self.ready.discard)(name)
        if (len(self.present), len(self.ready)) != before:
            self._note()

    def _note(self) -> None:
        self.changed_s = time.monotonic()
        self._news.note()

    async def until_ready(self, count: int) -> float:
        """When so many were served, on the clock of `time.monotonic`. Raises: TimeoutError."""
        return await self._until(lambda: len(self.ready) >= count)

    async def until_served(self, name: str) -> float:
        """When this one was. Raises: TimeoutError."""
        return await self._until(lambda: name in self.ready)

    async def until_present(self, count: int) -> float:
        """When there were just so many. Raises: TimeoutError."""
        return await self._until(lambda: len(self.present) == count)

    async def _until(self, holds: Callable[[], bool]) -> float:
        async with asyncio.timeout(_DEADLINE_S):
            while not holds():
                await self._news.beyond(self._news.version)
        return self.changed_s


def _is_ready(manifest: Manifest) -> bool:
    conditions = manifest.get("status", {}).get("conditions", ())
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


async def until(holds: Callable[[], Awaitable[bool]], pause_s: float = 0.05, deadline_s: float = _DEADLINE_S) -> None:
    """Ask until it holds: another process announces nothing. Raises: TimeoutError."""
    async with asyncio.timeout(deadline_s):
        while not await holds():  # noqa: ASYNC110 -- as above
            await asyncio.sleep(pause_s)
