"""An API server without HTTP: what a test has put there, and the events that it pushes."""

import asyncio
from collections.abc import AsyncGenerator

from lorapool_common.kube.replies import Listing
from lorapool_common.kube.resources import Manifest, Selection
from lorapool_common.kube.watch_events import WatchEvent
from lorapool_gateway.cluster.directory import ObjectKind

KINDS = {
    "/apis/lorapool.dev/v1alpha1/basemodelpools": ObjectKind.POOL,
    "/apis/lorapool.dev/v1alpha1/loraadapters": ObjectKind.ADAPTER,
    "/api/v1/pods": ObjectKind.POD,
}


class FakeApi:
    """Lists what a test has put there, and sends the events that it pushes."""

    def __init__(self) -> None:
        self.items: dict[ObjectKind, list[Manifest]] = {kind: [] for kind in ObjectKind}
        self.events: dict[ObjectKind, asyncio.Queue[WatchEvent | Exception]] = {
            kind: asyncio.Queue() for kind in ObjectKind
        }
        self.broken: Exception | None = None
        self.lists = 0

    async def listing(self, selection: Selection) -> Listing:
        self.lists += 1
        if self.broken:
            raise self.broken
        return Listing(self.items[KINDS[selection.path]], "1")

    async def watch(self, selection: Selection, version: str) -> AsyncGenerator[WatchEvent, None]:
        while True:
            event = await self.events[KINDS[selection.path]].get()
            if isinstance(event, Exception):
                raise event
            yield event
