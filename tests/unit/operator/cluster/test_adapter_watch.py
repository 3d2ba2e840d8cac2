"""The cache's adapters follow the API server."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from tests import make
from tests.virtual_time import elapse, now_s

from lorapool_api.kinds.adapter import Adapter
from lorapool_common.kube.errors import ApiError
from lorapool_common.kube.replies import Listing
from lorapool_common.kube.resources import Manifest, Selection
from lorapool_common.kube.watch_events import WatchEvent
from lorapool_operator.cluster.cache import ObjectCache
from lorapool_operator.cluster.watching.adapters import adapter_reflectors, were_just_listed

pytestmark = pytest.mark.virtual_time

EXPIRED = ApiError(410, "Expired", "too old")
# Longer than the reflector waits before it lists anew.
SOON_S = 1.0


class Server:
    """Adapters of an API server, listed one a page; a watch ends where it is told so."""

    def __init__(self, *found: Adapter) -> None:
        self.found = {adapter.key: adapter for adapter in found}
        self.changes: asyncio.Queue[WatchEvent | ApiError | None] = asyncio.Queue()
        self.lists = 0

    async def pages(self, selection: Selection) -> AsyncGenerator[Listing, None]:
        self.lists += 1
        for adapter in self.found.values():
            if selection.namespace in (None, adapter.metadata.namespace):
                yield Listing([body(adapter)], "7")
        yield Listing([], "7")

    async def watch(self, selection: Selection, version: str) -> AsyncGenerator[WatchEvent, None]:
        assert version == "7"
        while (change := await self.changes.get()) is not None:
            if isinstance(change, ApiError):
                raise change
            yield change


def body(adapter: Adapter) -> Manifest:
    return dict(adapter.manifest())


def adapter(name: str, version: int, namespace: str = "default") -> Adapter:
    return make.adapter(name, metadata={"resourceVersion": str(version), "namespace": namespace})


@asynccontextmanager
async def following(
    server: Server, namespaces: tuple[str, ...] = (), on_change: Callable[[str], None] = lambda _: None
) -> AsyncIterator[ObjectCache]:
    """A cache after its first list."""
    cache = ObjectCache(on_change)
    running = [asyncio.create_task(each.run()) for each in adapter_reflectors(server, cache, namespaces)]
    await elapse(SOON_S)
    yield cache
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


def known(cache: ObjectCache) -> dict[str, str]:
    return {key: found.metadata.resource_version for key, found in cache.adapters.items()}


async def test_what_comes_changes_and_goes_is_known_and_wakes_its_pool() -> None:
    woken: list[str] = []
    server = Server(adapter("one", 1))
    async with following(server, on_change=woken.append) as cache:
        assert known(cache) == {"default/one": "1"}
        for change in (("ADDED", adapter("two", 2)), ("MODIFIED", adapter("one", 3)), ("DELETED", adapter("two", 4))):
            server.changes.put_nowait((change[0], body(change[1])))
            await elapse(0.0)
        assert known(cache) == {"default/one": "3"}
    assert woken == ["default/shapes"] * 4


@pytest.mark.parametrize("end", [None, EXPIRED], ids=["it ends", "410"])
async def test_what_changed_between_two_watches_is_known_after_the_second(end: ApiError | None) -> None:
    server = Server(adapter("stays", 1), adapter("goes", 1))
    async with following(server) as cache:
        server.found = {row.key: row for row in (adapter("stays", 5), adapter("new", 6))}
        server.changes.put_nowait(end)
        await elapse(SOON_S)
        assert known(cache) == {"default/stays": "5", "default/new": "6"}
        server.changes.put_nowait(("MODIFIED", body(adapter("new", 8))))
        await elapse(0.0)
        assert known(cache)["default/new"] == "8"


async def test_each_namespace_has_a_watch_and_takes_nothing_from_the_others() -> None:
    server = Server(adapter("one", 1, "a"), adapter("two", 1, "b"), adapter("three", 1, "elsewhere"))
    async with following(server, ("a", "b")) as cache:
        assert known(cache) == {"a/one": "1", "b/two": "1"}
        server.changes.put_nowait(None)
        await elapse(SOON_S)
        assert server.lists == 3
        assert known(cache) == {"a/one": "1", "b/two": "1"}


async def test_an_object_that_is_none_hides_no_other() -> None:
    server = Server()
    async with following(server) as cache:
        for odd in ({}, {"metadata": {"namespace": "default", "name": "odd"}, "spec": 7}):
            server.changes.put_nowait(("ADDED", odd))
        server.changes.put_nowait(("ADDED", body(adapter("one", 1))))
        await elapse(0.0)
        assert known(cache) == {"default/one": "1"}
        assert server.lists == 1


async def test_what_was_just_listed_need_not_be_listed_again_and_an_old_watch_proves_nothing() -> None:
    cache, server = ObjectCache(lambda _: None), Server(adapter("a", 1))
    reflectors = adapter_reflectors(server, cache, (), now_s)
    asking = asyncio.create_task(were_just_listed(reflectors))
    await elapse(1.0)
    assert not asking.done()  # nothing is listed yet: whoever leads then would act on no adapters

    running = asyncio.create_task(reflectors[0].run())
    assert await asking
    assert cache.adapters.get("default/a") is not None
    await elapse(60.0)
    assert not await were_just_listed(reflectors)
    running.cancel()
