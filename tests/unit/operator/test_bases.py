"""The commit of a base model: looked up once, the same for all pods, and kept."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.operator_hub import COMMIT, FakeHub, Repo
from tests.unit.operator import make as made
from tests.unit.operator.context import Bench
from tests.unit.operator.test_worker import until

from lorapool_api.kinds.conditions import Reason
from lorapool_api.kinds.pool import AdapterCounts, BaseRevision, ModelStatus, Pool, PoolStatus
from lorapool_api.kinds.sources import HubModel
from lorapool_api.names import CONFIG_ENV
from lorapool_operator.decide.pools.pool_status import pool_status
from lorapool_operator.reconcile.reconciler import Reconciler
from lorapool_operator.seen.resolution import BaseResolution
from lorapool_operator.seen.verdict import Verdict
from lorapool_operator.sources.bases import Bases
from lorapool_operator.sources.hub import HubClient

KEY = ("stabilityai/base", "main")
FOUND = BaseResolution({KEY: COMMIT})


def pool(revision: str = "main", token: bool = False, **status: Any) -> Pool:
    hub: dict[str, Any] = {"repo": KEY[0], "revision": revision}
    if token:
        hub["tokenSecretRef"] = {"name": "hub", "key": "token"}
    plain = made.pool(model={"source": {"hub": hub}, "dtype": "float32"})
    return plain.model_copy(update={"status": PoolStatus(**status)})


def settled(commit: str | None = COMMIT, revision: str = "main") -> ModelStatus:
    return ModelStatus(sources=(BaseRevision(repo=KEY[0], revision=revision, commit=commit),))


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


def revision_of(bench: Bench) -> str:
    """What the Deployment that was applied last tells the pods."""
    applied = [w.body for w in bench.api.writes if w.name == "Deployment/shapes-runtime"][-1]
    (container,) = (c for c in applied["spec"]["template"]["spec"]["containers"] if c["name"] == "runtime")
    (config,) = (e["value"] for e in container["env"] if e["name"] == CONFIG_ENV)
    return str(json.loads(config)["model"]["source"]["hub"]["revision"])


@pytest.fixture
async def bench() -> Bench:
    it = Bench()
    it.put(pool())
    return it


async def test_pods_are_made_when_the_commit_is_known_and_are_told_it(bench: Bench) -> None:
    passes = Reconciler("default/shapes", bench.context, lambda: None)
    bench.looked.result = BaseResolution(is_pending=True)
    await passes.run()
    assert bench.api.count("Deployment/shapes-runtime") == 0

    bench.looked.result = FOUND
    await passes.run()

    assert revision_of(bench) == COMMIT
    kept = bench.cache.pools.get("default/shapes")
    assert kept is not None
    assert kept.status.model == settled()


async def test_a_commit_that_is_settled_outlives_the_operator(bench: Bench) -> None:
    fresh = pool(model=settled())
    bench.put(fresh.model_copy(update={"metadata": fresh.metadata.model_copy(update={"resource_version": "7"})}))

    await Reconciler("default/shapes", bench.context, lambda: None).run()

    assert revision_of(bench) == COMMIT


async def test_pods_resolve_for_themselves_what_the_operator_cannot(bench: Bench) -> None:
    await Reconciler("default/shapes", bench.context, lambda: None).run()

    assert revision_of(bench) == "main"


def test_a_base_that_pods_hold_is_not_replaced_when_its_commit_becomes_known_late() -> None:
    seen = made.seen(pool=pool(), base_resolution=BaseResolution())

    status = pool_status(pool(), seen, AdapterCounts())

    assert status.model is not None
    assert status.model.sources == settled(None).sources


def test_nothing_is_settled_while_the_pods_hold_the_base_of_before() -> None:
    rolling = made.deployment(generation=2, observed_generation=2, updated=0)
    status = pool_status(pool(), made.seen(pool=pool(), deployment=rolling), AdapterCounts())

    assert status.model is not None
    assert status.model.sources == ()


def test_the_pool_says_that_there_is_no_repository() -> None:
    problem = Verdict(Reason.SOURCE_NOT_FOUND, "there is no repository stabilityai/base, or it is private")
    seen = made.seen(pool=pool(), reports={}, base_resolution=BaseResolution(problem=problem))

    degraded = made.condition(pool_status(pool(), seen, AdapterCounts()).conditions, "Degraded")

    assert (degraded.status, degraded.reason) == ("True", Reason.SOURCE_NOT_FOUND)
    assert degraded.message == problem.message
