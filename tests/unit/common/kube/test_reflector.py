"""A consumer keeps in step with the API server, and knows what it knew while that is away."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager

from structlog.testing import capture_logs

from lorapool_common.backoff import Backoff
from lorapool_common.kube.errors import ApiError
from lorapool_common.kube.reflector import Reflector
from lorapool_common.kube.replies import Listing
from lorapool_common.kube.resources import PODS, Manifest, Selection
from lorapool_common.kube.watch_events import WatchEvent

EXPIRED = ApiError(410, "Expired", "too old")
AWAY = ApiError(0, "Unreachable", "refused")


def pod(name: str) -> Manifest:
    return {"metadata": {"name": name}}


class Cluster:
    """Lists what a test has put there, and sends the changes that it pushes; None ends a watch."""

    def __init__(self) -> None:
        self.items: list[Manifest] = []
        self.changes: asyncio.Queue[WatchEvent | ApiError | None] = asyncio.Queue()
        self.refusal: ApiError | None = None
        self.watched_from: list[str] = []
        self.lists = 0

    async def listing(self, selection: Selection) -> Listing:
        self.lists += 1
        if self.refusal:
            raise self.refusal
        return Listing(self.items, str(self.lists))

    async def watch(self, selection: Selection, version: str) -> AsyncGenerator[WatchEvent, None]:
        self.watched_from.append(version)
        while (change := await self.changes.get()) is not None:
            if isinstance(change, ApiError):
                raise change
            yield change


class Known:
    """The names of the objects that there are, and a condition on them."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self._moved = asyncio.Event()

    def replace(self, objects: Sequence[Manifest]) -> None:
        self.names = {o["metadata"]["name"] for o in objects}
        self._moved.set()

    def put(self, manifest: Manifest) -> None:
        self.names.add(manifest["metadata"]["name"])
        self._moved.set()

    def drop(self, manifest: Manifest) -> None:
        self.names.discard(manifest["metadata"]["name"])
        self._moved.set()

    async def are(self, *names: str) -> None:
        async with asyncio.timeout(10):
            while self.names != set(names):
                self._moved.clear()
                await self._moved.wait()


class Pauses:
    """Time that passes only in watches, and pauses that end when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.taken: list[float] = []
        self.go = asyncio.Semaphore(1000)
        self._more = asyncio.Event()

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)
        self._more.set()
        await self.go.acquire()
        await asyncio.sleep(0)

    async def reach(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.taken) < count:
                self._more.clear()
                await self._more.wait()


@asynccontextmanager
async def reflected() -> AsyncIterator[tuple[Cluster, Known, Reflector, Pauses]]:
    cluster, known, pauses = Cluster(), Known(), Pauses()
    reflector = Reflector(
        cluster,
        Selection(PODS),
        known,
        expected=(403,),
        backoff=Backoff(1.0, 8.0, jitter=0),
        clock=lambda: pauses.now,
        pause=pauses,
    )
    running = asyncio.create_task(reflector.run())
    yield cluster, known, reflector, pauses
    running.cancel()
    await asyncio.wait([running])


async def test_a_list_and_then_changes_reach_the_consumer() -> None:
    async with reflected() as (cluster, known, reflector, _):
        assert not reflector.synced.is_set()
        cluster.items = [pod("a")]
        await reflector.synced.wait()
        await known.are("a")
        cluster.changes.put_nowait(("ADDED", pod("b")))
        await known.are("a", "b")
        cluster.changes.put_nowait(("DELETED", pod("a")))
        await known.are("b")
        assert cluster.watched_from == ["1"]


async def test_a_deletion_that_no_watch_saw_is_found_by_the_next_list() -> None:
    async with reflected() as (cluster, known, _, _pauses):
        cluster.items = [pod("ghost")]
        await known.are("ghost")
        cluster.items = []
        cluster.changes.put_nowait(None)
        await known.are()


async def test_nothing_is_forgotten_while_the_api_server_is_away_and_one_warning_says_so() -> None:
    with capture_logs() as logs:
        async with reflected() as (cluster, known, _, pauses):
            cluster.items = [pod("a")]
            await known.are("a")
            cluster.refusal = AWAY
            cluster.changes.put_nowait(AWAY)
            await pauses.reach(5)
            assert known.names == {"a"}
            cluster.refusal, cluster.items = None, [pod("b")]
            await known.are("b")
            cluster.changes.put_nowait(AWAY)
            cluster.items = []
            await known.are()
    warnings = [entry for entry in logs if entry["log_level"] == "warning"]
    assert [(entry["error"], entry["path"]) for entry in warnings] == [("refused", "/api/v1/pods")] * 2


async def test_what_is_expected_is_no_warning() -> None:
    with capture_logs() as logs:
        async with reflected() as (cluster, known, reflector, pauses):
            cluster.items = [pod("a")]
            await known.are("a")
            cluster.changes.put_nowait(EXPIRED)
            await pauses.reach(1)
            cluster.refusal = ApiError(403, "Forbidden", "not yet")
            cluster.changes.put_nowait(EXPIRED)
            await pauses.reach(4)
            assert reflector.synced.is_set()
    assert not [entry for entry in logs if entry["log_level"] == "warning"]


async def test_pauses_grow_until_a_watch_has_lasted() -> None:
    async with reflected() as (cluster, _, reflector, pauses):
        cluster.refusal = AWAY
        await pauses.reach(6)
        pauses.go = asyncio.Semaphore(0)
        await pauses.reach(7)
        assert pauses.taken[:6] == [1, 2, 4, 8, 8, 8]
        cluster.refusal = None
        pauses.go.release()
        await reflector.synced.wait()
        pauses.now += 300
        taken = len(pauses.taken)
        cluster.changes.put_nowait(None)
        await pauses.reach(taken + 1)
        assert pauses.taken[-1] == 1
