"""Lists everything and puts the cache right.

Done before a replica leads, so that it never acts on half a list, and now and then while it leads: a watch that was
interrupted says nothing of what was deleted meanwhile.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol, TypeVar

import structlog
from pydantic import ValidationError

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.pool import Pool
from lorapool_api.names import POOL_LABEL, full_name
from lorapool_common.backoff import Backoff
from lorapool_common.kube.errors import ApiError
from lorapool_common.kube.resources import ADAPTERS, DEPLOYMENTS, NAMESPACES, PODS, POOLS, REPLICA_SETS, Resource
from lorapool_operator.cluster.cache import Indexer, ObjectCache
from lorapool_operator.seen.parse import deployment_view, pod_view, read_adapter, read_pool, replica_set_view
from lorapool_operator.seen.views import DeploymentView, PodView, ReplicaSetView

log = structlog.get_logger(__name__)

RELIST_S: Final = 300.0

Body = Mapping[str, Any]
T = TypeVar("T", Adapter, Pool, PodView, ReplicaSetView, DeploymentView)


class Lister(Protocol):
    """Lists objects of the API server. Raises: ApiError."""

    async def list(
        self, resource: Resource, namespace: str | None = None, labels: str | None = None
    ) -> list[dict[str, Any]]: ...


class Relister:
    """Compares the cache with lists of the API server."""

    def __init__(
        self, kube: Lister, cache: ObjectCache, namespaces: tuple[str, ...], every_s: float = RELIST_S
    ) -> None:
        self._kube = kube
        self._cache = cache
        self._namespaces = namespaces
        self._every_s = every_s

    async def run_until_done(self) -> None:
        """Lists until that worked."""
        backoff = Backoff(0.5, 5.0)
        while True:
            try:
                return await self.run()
            except ApiError as error:
                log.warning("the API server does not list", status=error.status, error=error.message)
                await asyncio.sleep(backoff.next())

    async def run_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            await self.run_until_done()

    async def run(self) -> None:
        """Raises: ApiError."""
        cache = self._cache
        await self._compare(POOLS, None, cache.pools, read_pool)
        await self._compare(ADAPTERS, None, cache.adapters, read_adapter)
        await self._compare(PODS, POOL_LABEL, cache.pods, pod_view)
        await self._compare(REPLICA_SETS, POOL_LABEL, cache.replica_sets, replica_set_view)
        await self._compare(DEPLOYMENTS, POOL_LABEL, cache.deployments, deployment_view)
        if not self._namespaces:
            await self._compare_namespaces()

    async def _compare(
        self, resource: Resource, labels: str | None, indexer: Indexer[T], read: Callable[[Body], T]
    ) -> None:
        before = indexer.items()
        listed = await self._list(resource, labels)
        present = {body["metadata"]["uid"] for body in listed}
        for body in listed:
            self._cache.wake(put(indexer, body, read))
        # What was there before the list began and is not in it, is gone.
        for key, item in before:
            if _uid(item) not in present:
                self._cache.wake(indexer.remove(key, item))

    async def _compare_namespaces(self) -> None:
        before = set(self._cache.namespaces)
        listed = await self._kube.list(NAMESPACES)
        for body in listed:
            put_namespace(self._cache, body)
        for name in before - {body["metadata"]["name"] for body in listed}:
            self._cache.put_namespace(name, None)

    async def _list(self, resource: Resource, labels: str | None) -> list[Body]:
        spaces: Iterable[str | None] = self._namespaces or (None,)
        return [body for space in spaces for body in await self._kube.list(resource, space, labels)]


def put(indexer: Indexer[T], body: Body, read: Callable[[Body], T]) -> set[str]:
    """Read a manifest into its indexer; the pools that this concerns. An unreadable one is logged and left out."""
    item = _read(body, read)
    return set() if item is None else indexer.put(_key(body), item)


def remove(indexer: Indexer[T], body: Body, read: Callable[[Body], T]) -> set[str]:
    """Take an object that went out of its indexer; the pools that this concerns."""
    item = _read(body, read)
    return set() if item is None else indexer.remove(_key(body), item)


def put_namespace(cache: ObjectCache, body: Body) -> None:
    meta = body["metadata"]
    cache.put_namespace(meta["name"], meta.get("labels") or {}, is_terminating="deletionTimestamp" in meta)


def _read(body: Body, read: Callable[[Body], T]) -> T | None:
    try:
        return read(body)
    except ValidationError as error:
        log.warning("an object cannot be read", kind=body.get("kind"), object=_key(body), error=str(error))
        return None


def _key(body: Body) -> str:
    return full_name(body["metadata"]["namespace"], body["metadata"]["name"])


def _uid(item: Adapter | Pool | PodView | ReplicaSetView | DeploymentView) -> str:
    return item.metadata.uid if isinstance(item, Adapter | Pool) else item.uid
