"""The directory keeps in step with the API server, and serves on without it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

import pytest
from tests import make
from tests.unit.gateway.api_server import FakeApi
from tests.unit.gateway.fakes import FakePod, read
from tests.waiting import until

from lorapool_common.kube.errors import ApiError
from lorapool_common.kube.replies import Listing
from lorapool_common.kube.resources import Selection
from lorapool_common.kube.watch_events import WatchEvent
from lorapool_gateway.cluster.directory import Directory, ObjectKind
from lorapool_gateway.cluster.watcher import Watcher


@pytest.fixture
async def api() -> AsyncIterator[tuple[FakeApi, Directory, Watcher]]:
    fake, directory = FakeApi(), Directory()
    watcher = Watcher(fake, directory, [None], pause=lambda _: asyncio.sleep(0))
    running = asyncio.create_task(watcher.run())
    yield fake, directory, watcher
    running.cancel()
    await asyncio.wait([running])


Parts = tuple[FakeApi, Directory, Watcher]


async def test_events_change_what_is_known(api: Parts) -> None:
    fake, directory, watcher = api
    await watcher.synced.wait()
    fake.events[ObjectKind.ADAPTER].put_nowait(("ADDED", read(make.adapter())))
    await until(lambda: "default/pixel" in directory.snapshot().adapters, "it was added")
    fake.events[ObjectKind.ADAPTER].put_nowait(("DELETED", read(make.adapter())))
    await until(lambda: not directory.snapshot().adapters, "it was deleted")


async def test_what_went_unseen_is_gone_after_the_next_list(api: Parts) -> None:
    fake, directory, _ = api
    fake.items[ObjectKind.POD] = [FakePod("ghost").manifest]
    fake.events[ObjectKind.POD].put_nowait(ApiError(410, "Expired", "too old"))
    await until(lambda: bool(directory.snapshot().pods), "the ghost was seen")
    fake.items[ObjectKind.POD] = []
    fake.events[ObjectKind.POD].put_nowait(ApiError(410, "Expired", "too old"))
    await until(lambda: not directory.snapshot().pods, "the ghost has gone")


async def test_nothing_is_forgotten_while_the_api_server_is_away(api: Parts) -> None:
    fake, directory, watcher = api
    await watcher.synced.wait()
    fake.events[ObjectKind.POOL].put_nowait(("ADDED", read(make.pool())))
    await until(lambda: bool(directory.snapshot().pools), "the pool is known")
    fake.broken, before = ApiError(0, "Unreachable", "refused"), fake.lists
    fake.events[ObjectKind.POOL].put_nowait(ApiError(0, "Unreachable", "reset"))
    await until(lambda: fake.lists > before + 3, "it has tried again")
    assert "default/shapes" in directory.snapshot().pools
    fake.broken, fake.items[ObjectKind.POOL] = None, [read(make.pool("new"))]
    await until(lambda: "default/new" in directory.snapshot().pools, "it caught up")


async def test_an_object_that_cannot_be_read_hides_no_other(api: Parts) -> None:
    fake, directory, watcher = api
    await watcher.synced.wait()
    strange = read(make.adapter("strange")) | {"spec": {"source": 5}}
    fake.events[ObjectKind.ADAPTER].put_nowait(("ADDED", strange))
    fake.events[ObjectKind.ADAPTER].put_nowait(("ADDED", read(make.adapter())))
    await until(lambda: set(directory.snapshot().adapters) == {"default/pixel"}, "the other is known")


async def test_a_list_of_one_namespace_leaves_the_others_alone() -> None:
    directory = Directory()
    directory.put(ObjectKind.ADAPTER, read(make.adapter("a", "one")))
    directory.put(ObjectKind.ADAPTER, read(make.adapter("b", "two")))
    directory.replace(ObjectKind.ADAPTER, "one", [])
    assert set(directory.snapshot().adapters) == {"two/b"}


async def test_it_asks_for_its_own_kinds_in_each_namespace_and_for_pods_of_pools_only() -> None:
    asked: list[Selection] = []

    class Asked(FakeApi):
        async def listing(self, selection: Selection) -> Listing:
            asked.append(selection)
            return Listing([], "1")

        async def watch(self, selection: Selection, version: str) -> AsyncGenerator[WatchEvent, None]:
            await asyncio.Event().wait()
            yield ("", {})

    watcher = Watcher(Asked(), Directory(), ["one", "two"])
    running = asyncio.create_task(watcher.run())
    await watcher.synced.wait()
    running.cancel()
    await asyncio.wait([running])
    assert sorted((selection.path, selection.labels or "") for selection in asked) == [
        ("/api/v1/namespaces/one/pods", "lorapool.dev/pool"),
        ("/api/v1/namespaces/two/pods", "lorapool.dev/pool"),
        ("/apis/lorapool.dev/v1alpha1/namespaces/one/basemodelpools", ""),
        ("/apis/lorapool.dev/v1alpha1/namespaces/one/loraadapters", ""),
        ("/apis/lorapool.dev/v1alpha1/namespaces/two/basemodelpools", ""),
        ("/apis/lorapool.dev/v1alpha1/namespaces/two/loraadapters", ""),
    ]
