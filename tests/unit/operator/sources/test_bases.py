"""The commit of a base model: looked up once, the same for all pods, and kept."""

from collections.abc import AsyncIterator

import pytest
from tests.operator_hub import COMMIT, FakeHub, Repo
from tests.unit.operator.hub_base import KEY, pool, settled
from tests.waiting import until

from lorapool_api.kinds.conditions import Reason
from lorapool_api.kinds.pool import Pool
from lorapool_api.kinds.sources import HubModel
from lorapool_operator.seen.resolution import BaseResolution
from lorapool_operator.sources.bases import Bases
from lorapool_operator.sources.hub import HubClient


@pytest.fixture
async def hub() -> AsyncIterator[FakeHub]:
    async with FakeHub() as it:
        it.repos[KEY[0]] = Repo(files={})
        yield it


@pytest.fixture
def woken() -> list[str]:
    return []


@pytest.fixture
async def bases(hub: FakeHub, woken: list[str]) -> AsyncIterator[Bases]:
    it = Bases(HubClient(hub.url), woken.append)
    yield it
    it.close()


def ask(bases: Bases, pool: Pool) -> BaseResolution:
    """What is known, as a pass learns it."""
    known = bases.known(pool)
    bases.resolve(pool)
    return known


async def looked(bases: Bases, pool: Pool, woken: list[str]) -> BaseResolution:
    first = ask(bases, pool)
    assert first.is_pending
    await until(lambda: bool(woken))
    return ask(bases, pool)


async def test_a_branch_is_looked_up_once(hub: FakeHub, bases: Bases, woken: list[str]) -> None:
    look = await looked(bases, pool(), woken)

    assert look == BaseResolution({KEY: COMMIT})
    assert woken == ["default/shapes"]
    for _ in range(3):
        ask(bases, pool())
    assert hub.infos == 1


async def test_what_the_status_has_settled_is_not_looked_up(hub: FakeHub, bases: Bases) -> None:
    """A restart of the operator after a push moves no base."""
    for model in (settled(), settled(None)):
        assert not ask(bases, pool(model=model)).is_pending
    assert hub.infos == 0


async def test_a_commit_needs_no_look(hub: FakeHub, bases: Bases) -> None:
    assert not ask(bases, pool(revision="0123456789" * 4)).is_pending
    assert hub.infos == 0


async def test_another_revision_is_looked_up(hub: FakeHub, bases: Bases, woken: list[str]) -> None:
    hub.repos[KEY[0]].commit = "a" * 40
    await looked(bases, pool(model=settled(revision="v1")), woken)
    assert hub.infos == 1


async def test_a_repository_that_is_missing_is_said_to_be(hub: FakeHub, bases: Bases, woken: list[str]) -> None:
    hub.repos.clear()
    look = await looked(bases, pool(), woken)

    assert not look.is_pending
    assert look.problem is not None
    assert look.problem.reason == Reason.SOURCE_NOT_FOUND
    assert "stabilityai/base at main is no repository of the Hub" in look.problem.message


async def test_nothing_is_said_against_a_repository_that_pods_have_a_token_for(
    hub: FakeHub, bases: Bases, woken: list[str]
) -> None:
    hub.repos.clear()
    look = await looked(bases, pool(token=True), woken)

    assert (look.problem, look.is_pending) == (None, False)


async def test_a_hub_that_is_away_holds_up_nothing(hub: FakeHub, bases: Bases, woken: list[str]) -> None:
    hub.repos[KEY[0]].status = 503
    look = await looked(bases, pool(), woken)

    assert (look.problem, look.is_pending) == (None, False)


async def test_an_answer_that_nobody_foresaw_holds_up_nothing(woken: list[str]) -> None:
    class Odd:
        async def commit(self, source: HubModel) -> str:
            raise KeyError("sha")

    bases = Bases(Odd(), woken.append)
    look = await looked(bases, pool(), woken)
    bases.close()

    assert (look.problem, look.is_pending) == (None, False)
