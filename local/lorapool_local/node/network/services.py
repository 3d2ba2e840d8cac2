"""Keeps the listeners of the plane's Services in step with what the API server says."""

import asyncio
from typing import Final

import structlog

from lorapool_local.kube import Kube, KubeError, Object
from lorapool_local.node.network.proxy import ServiceProxy, frontends

log = structlog.get_logger(__name__)

_RETRY_S: Final = 0.5


class ServiceNetwork:
    """Watches Services and the node's pods; every change is a look at all of them, since there are few."""

    def __init__(self, kube: Kube, node: str) -> None:
        self._kube = kube
        self._pods_of_node = f"spec.nodeName={node}"
        self._services: dict[str, Object] = {}
        self._pods: dict[str, Object] = {}
        self._changed = asyncio.Event()

    async def serve(self) -> None:
        """Listen until cancelled."""
        proxy = ServiceProxy()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._follow("/api/v1/services", self._services))
                tasks.create_task(self._follow("/api/v1/pods", self._pods, fieldSelector=self._pods_of_node))
                while True:
                    await self._changed.wait()
                    self._changed.clear()
                    await proxy.update(frontends(self._services, self._pods))
        finally:
            await proxy.close()

    async def _follow(self, path: str, known: dict[str, Object], **query: str) -> None:
        """Keep `known` as it is in the cluster: list, then watch, again and again."""
        while True:
            try:
                await self._list_and_watch(path, known, **query)
            except KubeError as error:
                log.warning("watch ended", path=path, error=str(error))
                await asyncio.sleep(_RETRY_S)

    async def _list_and_watch(self, path: str, known: dict[str, Object], **query: str) -> None:
        listed = await self._kube.get(path, **query)
        known.clear()
        known.update({item["metadata"]["uid"]: item for item in listed["items"]})
        self._changed.set()
        async for kind, value in self._kube.watch(path, listed["metadata"]["resourceVersion"], **query):
            if kind == "BOOKMARK":
                continue
            if kind == "DELETED":
                known.pop(value["metadata"]["uid"], None)
            else:
                known[value["metadata"]["uid"]] = value
            self._changed.set()
