"""Lists everything and puts the cache right.

Done before a replica leads, so that it never acts on half a list, while it leads when a watch had to begin anew, and
now and then: a watch that was interrupted says nothing of what was deleted meanwhile.
"""

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Any, Final, Protocol

import structlog

from lorapool_api.names import POOL_LABEL
from lorapool_common.backoff import Backoff
from lorapool_common.kube.errors import ApiError
from lorapool_common.kube.resources import ADAPTERS, DEPLOYMENTS, NAMESPACES, PODS, POOLS, REPLICA_SETS, Resource
from lorapool_operator.cluster.cache import OWNED_KINDS, ObjectCache
from lorapool_operator.cluster.indexer import Body, Indexer

log = structlog.get_logger(__name__)

RELIST_S: Final = 300.0
# The watches of several kinds begin anew together.
_TOGETHER_S: Final = 0.5


class Lister(Protocol):
    """Lists objects of the API server. Raises: ApiError."""

    async def list(
        self, resource: Resource, namespace: str | None = None, labels: str | None = None
    ) -> list[dict[str, Any]]: ...


class Relister:
    """Compares the cache with lists of the API server."""

    def __init__(
        self,
        kube: Lister,
        cache: ObjectCache,
        namespaces: tuple[str, ...],
        every_s: float = RELIST_S,
        begun_anew: asyncio.Event | None = None,
    ) -> None:
        """`begun_anew`: set when a watch had to begin with a list again."""
        self._kube = kube
        self._cache = cache
        self._namespaces = namespaces
        self._every_s = every_s
        self._begun_anew = begun_anew or asyncio.Event()

    async def run_until_done(self) -> None:
        """Lists until that worked."""
        backoff = Backoff(0.5, 5.0)
        while True:
            try:
                return await self.run()
            except ApiError as error:
                log.warning("the API server does not list", status=error.status, error=error.message)
                await asyncio.sleep(backoff.next(error.retry_after_s))

    async def run_now_and_then(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._every_s):
                    await self._begun_anew.wait()
                    await asyncio.sleep(_TOGETHER_S)
            self._begun_anew.clear()
            await self.run_until_done()

    async def run(self) -> None:
        """Raises: ApiError."""
        cache = self._cache
        await self._compare(POOLS, None, cache.pools)
        await self._compare(ADAPTERS, None, cache.adapters)
        await self._compare(PODS, POOL_LABEL, cache.pods)
        await self._compare(REPLICA_SETS, POOL_LABEL, cache.replica_sets)
        await self._compare(DEPLOYMENTS, POOL_LABEL, cache.deployments)
        for kind in OWNED_KINDS:
            await self._compare(kind, POOL_LABEL, cache.owned[kind.kind])
        if not self._namespaces:
            await self._compare_namespaces()

    async def _compare(self, resource: Resource, labels: str | None, indexer: Indexer[Any]) -> None:
        before = indexer.items()
        spaces: Iterable[str | None] = self._namespaces or (None,)
        listed: list[Body] = [body for space in spaces for body in await self._kube.list(resource, space, labels)]
        for body in listed:
            self._cache.wake(indexer.put_manifest(body))
        self._cache.wake(indexer.remove_all_but(before, listed))

    async def _compare_namespaces(self) -> None:
        before = set(self._cache.namespaces)
        listed = await self._kube.list(NAMESPACES)
        for body in listed:
            self._cache.put_namespace(body)
        for name in before - {body["metadata"]["name"] for body in listed}:
            self._cache.remove_namespace(name)
