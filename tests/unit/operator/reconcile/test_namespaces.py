"""A namespace that is being deleted: its pools' pods go at once, and nothing is created in it."""

from typing import Any

import pytest
from structlog.testing import capture_logs
from tests import make
from tests.unit.operator import make as made
from tests.unit.operator.context import Bench
from tests.unit.operator.refusal import refusal

from lorapool_api.names import ADAPTER_FINALIZER
from lorapool_common.kube.errors import ApiError
from lorapool_operator.cluster.cache import ObjectCache
from lorapool_operator.reconcile.reconciler import Reconciler

KEY = "default/shapes"
DEPLOYMENT = "deployments/shapes-runtime"
TERMINATING = {"deletionTimestamp": "2026-01-01T00:00:00Z"}


def tell(cache: ObjectCache, name: str = "default", **metadata: Any) -> None:
    """As the watch does."""
    cache.put_namespace({"metadata": {"name": name, **metadata}})


@pytest.fixture
async def bench() -> Bench:
    it = Bench()
    it.put(made.pool(replicas=2), make.adapter("pixel", metadata={"finalizers": [ADAPTER_FINALIZER]}))
    tell(it.cache)
    return it


def reconciler(bench: Bench) -> Reconciler:
    return Reconciler(KEY, bench.context, lambda: None)


async def test_its_pools_are_scaled_down_once(bench: Bench) -> None:
    passes = reconciler(bench)
    await passes.run()

    tell(bench.cache, **TERMINATING)
    await passes.run()
    passes.refresh()
    await passes.run()

    assert [w.body for w in bench.api.writes if w.name == DEPLOYMENT] == [{"spec": {"replicas": 0}}]
    passes.close()


async def test_nothing_is_applied_in_it(bench: Bench) -> None:
    tell(bench.cache, **TERMINATING)

    done = await reconciler(bench).run()

    assert {w.name for w in bench.api.writes} <= {"loraadapters/pixel/status"}
    assert (done.failures, done.again_s) == (0, None)


async def test_a_deployment_that_went_before_it_was_scaled_down_is_let_be(bench: Bench) -> None:
    passes = reconciler(bench)
    await passes.run()
    bench.api.refuse = lambda name, _: ApiError(404, "NotFound", "gone") if name == DEPLOYMENT else None

    tell(bench.cache, **TERMINATING)
    with capture_logs() as logs:
        done = await passes.run()

    assert bench.api.count(DEPLOYMENT) == 1
    assert (done.failures, done.again_s) == (0, None)
    assert [line for line in logs if line["log_level"] != "info"] == []
    passes.close()


async def test_its_adapters_are_let_go(bench: Bench) -> None:
    passes = reconciler(bench)
    await passes.run()
    bench.put_pod(made.pod(ip="127.0.0.1"))  # nobody listens there
    tell(bench.cache, **TERMINATING)
    marked = {"finalizers": [ADAPTER_FINALIZER], "resourceVersion": "99"}
    bench.put(make.adapter("pixel", metadata=marked | TERMINATING))

    await passes.run()

    assert [w.body["metadata"]["finalizers"] for w in bench.api.writes if w.name == "loraadapters/pixel"] == [[]]
    passes.close()


async def test_pools_of_other_namespaces_stay_as_they_are(bench: Bench) -> None:
    passes = reconciler(bench)
    tell(bench.cache, "other", **TERMINATING)
    await passes.run()
    assert bench.api.count("Deployment/shapes-runtime") == 1
    assert bench.api.count(DEPLOYMENT) == 0


async def test_a_pool_in_a_new_namespace_of_that_name_is_made(bench: Bench) -> None:
    """The watch of pools may be ahead of that of namespaces."""
    passes = reconciler(bench)
    await passes.run()
    tell(bench.cache, **TERMINATING)
    await passes.run()

    bench.cache.remove_namespace("default")
    tell(bench.cache)
    await passes.run()

    deployments = [w for w in bench.api.writes if w.name in (DEPLOYMENT, "Deployment/shapes-runtime")]
    assert [w.body["spec"]["replicas"] for w in deployments] == [2, 0, 2]
    passes.close()


async def test_a_creation_that_is_refused_there_is_neither_a_warning_nor_tried_again(bench: Bench) -> None:
    """An operator that may not watch namespaces learns of it so."""
    error = await refusal()
    bench.api.refuse = lambda name, _: error if name == "Service/shapes-runtime" else None
    passes = reconciler(bench)

    with capture_logs() as logs:
        for _ in range(3):
            done = await passes.run()
            bench.clock.s += 60.0

    assert bench.api.count("Service/shapes-runtime") == 1
    assert done.again_s is None
    assert [entry for entry in logs if entry["log_level"] in ("warning", "error")] == []
