"""How many run in the background, and how many are remembered."""

import asyncio

import pytest

from lorapool_gateway.errors import Busy, KeptGone
from lorapool_gateway.kept.answers import KeptAnswer, KeptAnswers
from lorapool_gateway.kept.background import BackgroundRequest, BackgroundRequests, BackgroundState, Watching
from lorapool_gateway.kept.ids import Ids


class Endless:
    """Work that ends when it is told."""

    def __init__(self) -> None:
        self.told = asyncio.Event()

    async def run(self, _: Watching) -> KeptAnswer:
        await self.told.wait()
        return KeptAnswer(200)


async def defect(_: Watching) -> KeptAnswer:
    raise ZeroDivisionError


def requests(**bounds: int) -> BackgroundRequests:
    return BackgroundRequests(Ids(), KeptAnswers(lambda: 0.0), lambda: 0.0, **bounds)


def begin(some: BackgroundRequests, work: Endless, owner: bytes = b"alice") -> BackgroundRequest:
    return some.begin(owner, "/", None, 0, work.run)


async def ended(request: BackgroundRequest) -> None:
    async with asyncio.timeout(30):
        while not request.state.is_over:
            await request.changes.beyond(request.changes.version)


async def test_one_owner_has_no_more_than_its_own_and_all_no_more_than_all() -> None:
    some, work = requests(most=3, most_of_one=2), Endless()
    running = [begin(some, work), begin(some, work)]
    with pytest.raises(Busy):
        begin(some, work)
    running.append(begin(some, work, b"bob"))
    with pytest.raises(Busy):
        begin(some, work, b"carol")
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
