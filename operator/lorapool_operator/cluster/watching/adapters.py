"""The adapters into the cache. There are thousands of them, each changed three times while it is applied.

All other kinds are kopf's to watch. For an event it starts or wakes a task of the object and prepares what handlers may
ask for, which took several times as long as putting the object into the cache, and it remembers each object.
"""

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Final, Protocol

import structlog

from lorapool_common.kube.reflector import Reflector
from lorapool_common.kube.replies import Listing
from lorapool_common.kube.resources import ADAPTERS, Manifest, Selection
from lorapool_common.kube.watch_events import WatchEvent
from lorapool_operator.cluster.cache import ObjectCache

# A watch that was begun longer ago may have fallen silent.
_JUST_S: Final = 5.0

log = structlog.get_logger(__name__)


class PagesAndWatches(Protocol):
    """Lists objects of the API server some at a time, and watches them. Raises: ApiError."""

    def pages(self, selection: Selection) -> AsyncGenerator[Listing, None]: ...

    def watch(self, selection: Selection, version: str) -> AsyncGenerator[WatchEvent, None]: ...


def adapter_reflectors(
    kube: PagesAndWatches,
    cache: ObjectCache,
    namespaces: tuple[str, ...],
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Reflector, ...]:
    """What keeps the cache's adapters in step: one for each namespace, or one for all where none is named."""
    found = []
    for namespace in namespaces or (None,):
        selection = Selection(ADAPTERS, namespace)
        found.append(Reflector(_Pages(kube, cache), selection, _Changes(cache), clock=clock))
    return tuple(found)


async def were_just_listed(reflectors: Sequence[Reflector]) -> bool:
    """Wait until all have listed; whether that was a moment ago, so that another list would bring nothing new."""
    for each in reflectors:
        await each.synced.wait()
    return all(each.age_s < _JUST_S for each in reflectors)


class _Pages:
    """Lists into the cache page by page: thousands of manifests are never held at once."""

    def __init__(self, kube: PagesAndWatches, cache: ObjectCache) -> None:
        self._kube = kube
        self._cache = cache

    async def listing(self, selection: Selection) -> Listing:
        """The version alone: the objects are in the cache by then, and what is gone is gone there too."""
        adapters, present, version = self._cache.adapters, set[str](), ""
        before = [row for row in adapters.items() if selection.namespace in (None, row[1].metadata.namespace)]
        async for page in self._kube.pages(selection):
            version = page.version
            present |= {body["metadata"]["uid"] for body in page.items}
            for body in page.items:
                _guarded(self._cache, adapters.put_manifest, body)
        self._cache.wake(adapters.remove_all_but(before, present))
        return Listing([], version)

    def watch(self, selection: Selection, version: str) -> AsyncGenerator[WatchEvent, None]:
        return self._kube.watch(selection, version)


class _Changes:
    """A change of one adapter."""

    def __init__(self, cache: ObjectCache) -> None:
        self._cache = cache

    def replace(self, objects: Sequence[Manifest]) -> None:
        """The list has done it."""

    def put(self, manifest: Manifest) -> None:
        _guarded(self._cache, self._cache.adapters.put_manifest, manifest)

    def drop(self, manifest: Manifest) -> None:
        _guarded(self._cache, self._cache.adapters.remove_manifest, manifest)


def _guarded(cache: ObjectCache, change: Callable[[Manifest], set[str]], manifest: Manifest) -> None:
    """What nobody foresaw of one object hides no other; the next list has it again."""
    try:
        cache.wake(change(manifest))
    except Exception:
        log.exception("an adapter could not be taken in", object=manifest.get("metadata", {}).get("name"))
