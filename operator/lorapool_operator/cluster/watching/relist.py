"""Lists everything and puts the cache right.

Done before a replica leads, so that it never acts on half a list, while it leads when a watch had to begin anew, and
now and then: a watch of kopf's that was interrupted says nothing of what was deleted meanwhile. Adapters are listed by
their own watch each time that it begins.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any, Final, Protocol

import structlog

from lorapool_api.names import POOL_LABEL
from lorapool_common.backoff import Backoff
from lorapool_common.kube.errors import ApiError
from lorapool_common.kube.replies import Listing
from lorapool_common.kube.resources import (
    ADAPTERS,
    DEPLOYMENTS,
    NAMESPACES,
    PODS,
    POOLS,
    REPLICA_SETS,
    Resource,
    Selection,
)
from lorapool_operator.cluster.cache import OWNED_KINDS, ObjectCache
from lorapool_operator.cluster.indexer import Indexer

log = structlog.get_logger(__name__)

RELIST_S: Final = 300.0
# The watches of several kinds begin anew together.
_TOGETHER_S: Final = 0.5


class ListsPages(Protocol):
    """Lists objects of the API server, some at a time. Raises: ApiError."""

    def pages(self, selection: Selection) -> AsyncGenerator[Listing, None]: ...


class Relister:
    """Compares the cache with lists of the API server."""

    def __init__(
        self,
        kube: ListsPages,
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

    async def run_until_done(self, *, adapters: bool = True) -> None:
        """Lists until that worked. `adapters`: whether they are too."""
        backoff = Backoff(0.5, 5.0)
        while True:
            try:
                return await self.run(adapters=adapters)
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
            await self.run_until_done(adapters=False)

    async def run(self, *, adapters: bool = True) -> None:
        """Raises: ApiError."""
        cache = self._cache
        lists = [
            self._compare(POOLS, None, cache.pools),
            self._compare(PODS, POOL_LABEL, cache.pods),
            self._compare(REPLICA_SETS, POOL_LABEL, cache.replica_sets),
            self._compare(DEPLOYMENTS, POOL_LABEL, cache.deployments),
            *(self._compare(kind, POOL_LABEL, cache.owned[kind.kind]) for kind in OWNED_KINDS),
        ]
        lists += [self._compare(ADAPTERS, None, cache.adapters)] if adapters else []
        lists += [] if self._namespaces else [self._compare_namespaces()]
        try:
            async with asyncio.TaskGroup() as group:
                for each in lists:
                    group.create_task(each)
        except* ApiError as error:
            raise _first(error) from error

    async def _compare(self, resource: Resource, labels: str | None, indexer: Indexer[Any]) -> None:
        before, present = indexer.items(), set[str]()
        for namespace in self._namespaces or (None,):
            async for page in self._kube.pages(Selection(resource, namespace, labels)):
                present |= {body["metadata"]["uid"] for body in page.items}
                for body in page.items:
                    self._cache.wake(indexer.put_manifest(body))
        self._cache.wake(indexer.remove_all_but(before, present))

    async def _compare_namespaces(self) -> None:
        before = set(self._cache.namespaces)
        present = set()
        async for page in self._kube.pages(Selection(NAMESPACES)):
            for body in page.items:
                present.add(body["metadata"]["name"])
                self._cache.put_namespace(body)
        for name in before - present:
            self._cache.remove_namespace(name)


def _first(failed: BaseExceptionGroup[ApiError]) -> ApiError:
    """One of them: they say the same of one API server."""
    first = failed.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
