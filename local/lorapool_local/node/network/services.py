"""Keeps the listeners of the plane's Services in step with what the API server says."""

import asyncio
from collections.abc import Sequence

from lorapool_common.kube.reflector import ListerWatcher, Reflector
from lorapool_common.kube.resources import SERVICES, Manifest, Selection
from lorapool_local.node.network.proxy import ServiceProxy, frontends


class KnownObjects:
    """The objects of one kind by uid; every change sets the event."""

    def __init__(self, changed: asyncio.Event) -> None:
        self.by_uid: dict[str, Manifest] = {}
        self._changed = changed

    def replace(self, objects: Sequence[Manifest]) -> None:
        self.by_uid = {manifest["metadata"]["uid"]: manifest for manifest in objects}
        self._changed.set()

    def put(self, manifest: Manifest) -> None:
        self.by_uid[manifest["metadata"]["uid"]] = manifest
        self._changed.set()

    def drop(self, manifest: Manifest) -> None:
        self.by_uid.pop(manifest["metadata"]["uid"], None)
        self._changed.set()


class ServiceNetwork:
    """Watches Services; `pods` receives the node's pods. Each change is a look at all of them, since there are few."""

    def __init__(self, source: ListerWatcher) -> None:
        self._changed = asyncio.Event()
        self._services = KnownObjects(self._changed)
        self._reflector = Reflector(source, Selection(SERVICES), self._services)
        self.pods = KnownObjects(self._changed)

    async def serve(self) -> None:
        """Listen until cancelled."""
        proxy = ServiceProxy()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._reflector.run())
                while True:
                    await self._changed.wait()
                    self._changed.clear()
                    await proxy.update(frontends(self._services.by_uid, self.pods.by_uid))
        finally:
            await proxy.close()
