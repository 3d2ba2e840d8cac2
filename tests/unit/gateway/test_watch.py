"""The directory keeps in step with the API server, and serves on without it."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from kubernetes.aio import client
from tests import make
from tests.unit.gateway.fakes import FakePod, read, until

from lorapool_gateway.cluster.directory import Directory, Manifest, ObjectKind
from lorapool_gateway.cluster.kube import Kube, KubeError
from lorapool_gateway.cluster.watcher import GONE, Watcher, delay_s

Event = tuple[str, Manifest]


class FakeApi:
    """Lists what a test has put there, and sends the events that it pushes."""

    def __init__(self) -> None:
        self.items: dict[ObjectKind, list[Manifest]] = {kind: [] for kind in ObjectKind}
        self.events: dict[ObjectKind, asyncio.Queue[Event | Exception]] = {kind: asyncio.Queue() for kind in ObjectKind}
        self.broken: Exception | None = None
        self.lists = 0

    async def list(self, kind: ObjectKind, namespace: str | None) -> tuple[list[Manifest], str]:
        self.lists += 1
        if self.broken:
            raise self.broken
        return self.items[kind], "1"

    async def watch(self, kind: ObjectKind, namespace: str | None, version: str) -> AsyncIterator[Event]:
        while True:
            event = await self.events[kind].get()
            if isinstance(event, Exception):
                raise event
            yield event


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lorapool_gateway.cluster.watcher.delay_s", lambda failures: 0.0)


@pytest.fixture
async def api() -> AsyncIterator[tuple[FakeApi, Directory, Watcher]]:
    fake, directory = FakeApi(), Directory()
    watcher = Watcher(fake, directory, [None])
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
    fake.events[ObjectKind.POD].put_nowait(KubeError(GONE, "too old"))
    await until(lambda: bool(directory.snapshot().pods), "the ghost was seen")
    fake.items[ObjectKind.POD] = []
    fake.events[ObjectKind.POD].put_nowait(KubeError(GONE, "too old"))
    await until(lambda: not directory.snapshot().pods, "the ghost has gone")


async def test_nothing_is_forgotten_while_the_api_server_is_away(api: Parts) -> None:
    fake, directory, watcher = api
    await watcher.synced.wait()
    fake.events[ObjectKind.POOL].put_nowait(("ADDED", read(make.pool())))
    await until(lambda: bool(directory.snapshot().pools), "the pool is known")
    fake.broken, before = ConnectionRefusedError(), fake.lists
    fake.events[ObjectKind.POOL].put_nowait(ConnectionResetError())
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


def test_tries_are_spaced_and_never_stop() -> None:
    delays = [delay_s(failures) for failures in range(100)]
    assert max(delays) <= 6.5
    assert min(delays) >= 0.1
    assert min(delays[10:]) > 3


async def test_lists_are_paged_and_watches_skip_bookmarks(unused_tcp_port: int) -> None:
    """The same calls against a real HTTP server, an event of a megabyte included."""
    asked: list[tuple[str, dict[str, str]]] = []
    big = {"metadata": {"name": "big", "resourceVersion": "9"}, "x": "y" * (1 << 20)}

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append((request.path, dict(request.query)))
        if "watch" not in request.query:
            last = "continue" in request.query
            metadata = {"resourceVersion": "7"} | ({} if last else {"continue": "more"})
            return web.json_response({"items": [{"n": 2 if last else 1}], "metadata": metadata})
        lines = [{"type": "BOOKMARK", "object": {}}, {"type": "ADDED", "object": big}]
        lines.append({"type": "ERROR", "object": {"code": 410, "message": "too old"}})
        return web.Response(text="".join(web.json_response(line).text + "\n" for line in lines))  # type: ignore[operator]

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", unused_tcp_port).start()
    configuration = client.Configuration(host=f"http://127.0.0.1:{unused_tcp_port}")
    try:
        async with client.ApiClient(configuration) as api:
            kube = Kube(api)
            assert await kube.list(ObjectKind.POD, "team") == ([{"n": 1}, {"n": 2}], "7")
            assert asked[0] == ("/api/v1/namespaces/team/pods", {"limit": "500", "labelSelector": "lorapool.dev/pool"})
            events = kube.watch(ObjectKind.ADAPTER, None, "7")
            assert await anext(events) == ("ADDED", big)
            with pytest.raises(KubeError) as gone:
                await anext(events)
            assert gone.value.status == GONE
            assert asked[-1][0] == "/apis/lorapool.dev/v1alpha1/loraadapters"
            assert asked[-1][1]["resourceVersion"] == "7"
    finally:
        await runner.cleanup()
