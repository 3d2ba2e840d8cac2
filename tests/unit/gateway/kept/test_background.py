"""How many run in the background, and how many are remembered."""

import asyncio
from typing import Any

import pytest
from tests.unit.observe.expositions import value

from lorapool_gateway.errors import Busy, KeptGone
from lorapool_gateway.kept.answers import KeptAnswer, KeptAnswers
from lorapool_gateway.kept.background import BackgroundRequest, BackgroundRequests, BackgroundState, Watching
from lorapool_gateway.kept.ids import Ids
from lorapool_gateway.kept.kept import Kept
from lorapool_gateway.metrics import Metrics


class Clock:
    """Seconds that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Endless:
    """Work that ends when it is told."""

    def __init__(self) -> None:
        self.told = asyncio.Event()

    async def run(self, _: Watching) -> KeptAnswer:
        await self.told.wait()
        return KeptAnswer(200)


async def defect(_: Watching) -> KeptAnswer:
    raise ZeroDivisionError


def requests(**bounds: Any) -> BackgroundRequests:
    return BackgroundRequests(Ids(), KeptAnswers(lambda: 0.0), lambda: 0.0, **bounds)


def begin(some: BackgroundRequests, work: Endless, owner: bytes = b"alice") -> BackgroundRequest:
    return some.begin(owner, "/", None, 0, work.run)


async def ended(request: BackgroundRequest) -> None:
    async with asyncio.timeout(30):
        while not request.state.is_over:
            await request.changes.beyond(request.changes.version)


async def test_one_owner_has_no_more_than_its_own_and_all_no_more_than_all() -> None:
    metrics = Metrics()
    some, work = requests(most=3, most_of_one=2, metrics=metrics.kept), Endless()
    running = [begin(some, work), begin(some, work)]
    with pytest.raises(Busy):
        begin(some, work)
    running.append(begin(some, work, b"bob"))
    with pytest.raises(Busy):
        begin(some, work, b"carol")
    assert value(metrics.text().decode(), "lorapool_gateway_background_requests_total", outcome="refused") == 2
    work.told.set()
    for request in running:
        await ended(request)
    await ended(begin(some, work))


async def test_no_more_are_remembered_than_may_run() -> None:
    some, work = requests(most=2), Endless()
    work.told.set()
    done = []
    for _ in range(4):
        done.append(begin(some, work))
        await ended(done[-1])
    assert [some.get(request.id) for request in done[2:]] == done[2:]
    for request in done[:2]:
        with pytest.raises(KeptGone):
            some.get(request.id)


async def test_a_defect_is_the_failure_of_one() -> None:
    some = requests()
    request = some.begin(b"", "/", None, 0, defect)
    await ended(request)
    assert (request.state, request.status) == (BackgroundState.FAILED, 500)
    with pytest.raises(KeptGone):
        some.answer(request)


async def test_what_becomes_of_them_and_of_their_answers_is_counted() -> None:
    clock, metrics, work = Clock(), Metrics(), Endless()
    kept = Kept(clock=clock, keep_s=60, max_bytes=20 << 10, metrics=metrics.kept)

    def counted(name: str, **labels: str) -> float:
        return value(metrics.text().decode(), f"lorapool_gateway_{name}", **labels)

    cancelled = begin(kept.background, work)
    assert counted("background_running_requests") == 1
    await kept.background.end(cancelled.id)
    work.told.set()
    for _ in range(6):
        await ended(begin(kept.background, work))
    assert counted("background_accepted_total") == 7
    assert counted("background_requests_total", outcome="cancelled") == 1
    assert counted("background_requests_total", outcome="succeeded") == 6
    assert counted("background_running_requests") == 0
    assert (counted("kept_answers"), counted("kept_bytes")) == (5, 20 << 10)
    assert counted("kept_dropped_total", cause="room") == 1
    assert not kept.answers.keep("large", b"", KeptAnswer(200, {}, bytes(20 << 10)))
    assert counted("kept_dropped_total", cause="too_large") == 1
    clock.now = 60
    assert (counted("kept_answers"), counted("kept_bytes")) == (0, 0)
    assert counted("kept_dropped_total", cause="expired") == 5
