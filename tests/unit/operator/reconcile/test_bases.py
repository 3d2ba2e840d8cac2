"""Pods are told the commit of their base model."""

import json

import pytest
from tests.operator_hub import COMMIT
from tests.unit.operator import make as made
from tests.unit.operator.context import Bench
from tests.unit.operator.hub_base import KEY, pool, settled

from lorapool_api.names import CONFIG_ENV
from lorapool_operator.reconcile.reconciler import Reconciler
from lorapool_operator.seen.resolution import BaseResolution

FOUND = BaseResolution({KEY: COMMIT})
OTHER = "beef" * 10


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


async def test_an_edit_to_another_branch_keeps_the_pods_until_its_commit_is_known(bench: Bench) -> None:
    passes = Reconciler("default/shapes", bench.context, lambda: None)
    bench.looked.result = FOUND
    await bench.settle(passes)
    applied = bench.api.count("Deployment/shapes-runtime")

    edited = pool("next", model=settled())
    meta = edited.metadata.model_copy(update={"resource_version": "90", "generation": 2})
    bench.put(edited.model_copy(update={"metadata": meta}))
    bench.looked.result = BaseResolution(is_pending=True)
    await bench.settle(passes)
    assert bench.api.count("Deployment/shapes-runtime") == applied
    kept = bench.cache.pools.get("default/shapes")
    assert kept is not None
    assert made.condition(kept.status.conditions, "Progressing").message == (
        "the commit of its base model is being looked up"
    )

    bench.looked.result = BaseResolution({(KEY[0], "next"): OTHER})
    await bench.settle(passes)
    assert revision_of(bench) == OTHER
    kept = bench.cache.pools.get("default/shapes")
    assert kept is not None
    assert kept.status.model == settled(OTHER, "next"), "what main was is forgotten"
