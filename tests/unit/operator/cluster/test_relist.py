"""A list puts right what the watches missed."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import pytest
from tests import make
from tests.virtual_time import elapse, now_s

from lorapool_api.kinds.adapter import Adapter
from lorapool_common.kube.errors import ApiError
from lorapool_common.kube.replies import Listing
from lorapool_common.kube.resources import ADAPTERS, NAMESPACES, POOLS, Manifest, Resource, Selection
from lorapool_operator.cluster.cache import ObjectCache
from lorapool_operator.cluster.watching.handlers import FirstList
from lorapool_operator.cluster.watching.relist import Relister

pytestmark = pytest.mark.virtual_time

EVERY_S = 300.0


class Lists:
    """What the API server lists of each kind; it may be away."""

    def __init__(self) -> None:
        self.found: dict[Resource, list[Manifest]] = {}
        self.is_away = False
        self.asked_s: list[float] = []

    async def pages(self, selection: Selection) -> AsyncGenerator[Listing, None]:
        if selection.resource is POOLS:
            self.asked_s.append(now_s())
        if self.is_away:
            raise ApiError(503, "ServiceUnavailable", "away")
        for manifest in self.found.get(selection.resource, []):
            yield Listing([manifest], "1")


@pytest.fixture
async def lists() -> Lists:
    return Lists()


@pytest.fixture
def woken() -> list[str]:
    return []


@pytest.fixture
def cache(woken: list[str]) -> ObjectCache:
    return ObjectCache(woken.append)


def namespace(name: str, **metadata: Any) -> Manifest:
    return {"metadata": {"name": name, **metadata}}


def body(adapter: Adapter) -> Manifest:
    return dict(adapter.manifest())


def adapter(name: str, version: int, metadata: Mapping[str, Any] | None = None) -> Adapter:
    return make.adapter(name, metadata={"resourceVersion": str(version)} | dict(metadata or {}))


async def test_a_namespace_whose_deletion_no_watch_saw_is_forgotten(lists: Lists, cache: ObjectCache) -> None:
    relister = Relister(lists, cache, ())
    stays = namespace("stays", labels={"team": "a"})
    lists.found[NAMESPACES] = [stays, namespace("goes", deletionTimestamp="2026-01-01")]
    await relister.run()
    assert cache.namespaces == {"stays": {"team": "a"}, "goes": {}}
    assert cache.terminating_namespaces == {"goes"}

    lists.found[NAMESPACES] = [stays]
    await relister.run()
    assert cache.namespaces == {"stays": {"team": "a"}}
    assert cache.terminating_namespaces == set()


async def test_an_operator_of_some_namespaces_lists_none(lists: Lists, cache: ObjectCache) -> None:
    lists.found[NAMESPACES] = [namespace("other")]
    await Relister(lists, cache, ("mine",)).run()
    assert cache.namespaces == {}


async def test_what_a_watch_missed_wakes_its_pool(lists: Lists, cache: ObjectCache, woken: list[str]) -> None:
    for known in (adapter("same", 1), adapter("edited", 1), adapter("gone", 1)):
        cache.adapters.put(known.key, known)
    edited = adapter("edited", 2)
    lists.found[ADAPTERS] = [body(adapter("same", 1)), body(edited), body(adapter("new", 1))]

    await Relister(lists, cache, ()).run()

    assert {key for key, _ in cache.adapters.items()} == {"default/same", "default/edited", "default/new"}
    assert cache.adapters.get("default/edited") == edited
    assert woken == ["default/shapes"] * 3


async def test_what_came_while_it_listed_is_not_taken_for_gone(lists: Lists, cache: ObjectCache) -> None:
    class Slow(Lists):
        async def pages(self, selection: Selection) -> AsyncGenerator[Listing, None]:
            if selection.resource is ADAPTERS:
                cache.adapters.put("default/late", adapter("late", 5))
            yield Listing([], "1")

    await Relister(Slow(), cache, ()).run()
    assert cache.adapters.get("default/late") is not None


async def test_an_object_that_cannot_be_read_hides_no_other(lists: Lists, cache: ObjectCache) -> None:
    lists.found[ADAPTERS] = [body(adapter("odd", 1)) | {"spec": {"source": 7}}, body(adapter("pixel", 1))]
    await Relister(lists, cache, ()).run()
    assert [key for key, _ in cache.adapters.items()] == ["default/pixel"]


async def test_an_api_server_that_is_away_is_asked_again_until_it_lists(lists: Lists, cache: ObjectCache) -> None:
    lists.is_away = True
    relisting = asyncio.create_task(Relister(lists, cache, ()).run_until_done())
    await elapse(60.0)
    assert not relisting.done()
    assert 10 <= len(lists.asked_s) <= 20
    lists.is_away = False
    await elapse(6.0)
    assert relisting.done()


async def test_it_lists_now_and_then(lists: Lists, cache: ObjectCache) -> None:
    relisting = asyncio.create_task(Relister(lists, cache, (), EVERY_S).run_now_and_then())
    began_s = now_s()
    await elapse(3 * EVERY_S)
    relisting.cancel()
    assert [at_s - began_s for at_s in lists.asked_s] == [EVERY_S, 2 * EVERY_S, 3 * EVERY_S]


async def test_it_lists_at_once_when_watches_had_to_begin_anew(lists: Lists, cache: ObjectCache) -> None:
    """kopf says nothing of what was deleted meanwhile."""
    known = make.pool()
    cache.pools.put(known.key, known)
    begun_anew = asyncio.Event()
    relisting = asyncio.create_task(Relister(lists, cache, (), EVERY_S, begun_anew).run_now_and_then())
    for _ in range(5):
        begun_anew.set()
        await elapse(0.05)
    await elapse(1.0)
    assert cache.pools.get(known.key) is None
    assert len(lists.asked_s) == 1
    relisting.cancel()


async def test_the_first_list_of_a_watch_is_no_other() -> None:
    first, later = FirstList(now_s), FirstList(now_s)
    assert [first.is_over(change) for change in (None, None, "ADDED", None)] == [False, False, False, True]
    assert not later.is_over(None)
    await elapse(60.0)
    assert later.is_over(None)
