"""An object that is paused: the operator looks and reports, and changes nothing."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests import make
from tests.unit.operator import make as made
from tests.unit.operator.context import LoopClock
from tests.unit.operator.fake_pods import FakePod
from tests.unit.operator.reconcile.operating import OTHER_IP, Operating
from tests.virtual_time import elapse

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.conditions import Condition, find
from lorapool_api.names import ADAPTER_FINALIZER, PAUSED_ANNOTATION
from lorapool_operator.reconcile.worker import Workers

pytestmark = pytest.mark.virtual_time

PAUSED = {"annotations": {PAUSED_ANNOTATION: ""}}
KEY = "default/shapes"


@pytest.fixture
async def it() -> AsyncIterator[Operating]:
    bench = Operating(clock=LoopClock())
    workers = Workers(bench.context)
    bench.listeners.append(workers.wake)
    yield bench
    await workers.stop()


@pytest.fixture
async def pod(it: Operating) -> FakePod:
    """A pool with one pod that is warm, and serves an adapter."""
    await put_pool(it, 1, paused=False)
    pod = it.start_pod(FakePod())
    it.put(adapter("pixel"))
    await elapse(5.0)
    assert set(pod.entries) == {"default/pixel"}
    return pod


def adapter(name: str, **metadata: Any) -> Adapter:
    return make.adapter(name, metadata={"resourceVersion": "1"} | metadata)


async def edit(it: Operating, name: str, scale: float, *, paused: bool) -> None:
    """Another scale, and the annotation with it or not."""
    known = it.adapter(name)
    changes = {
        "annotations": PAUSED["annotations"] if paused else {},
        "generation": known.metadata.generation + 1,
        "resource_version": str(int(known.metadata.resource_version) + 1),
    }
    spec = known.spec.model_copy(update={"scale": scale})
    it.put(Adapter(metadata=known.metadata.model_copy(update=changes), spec=spec, status=known.status))
    await elapse(5.0)


async def put_pool(it: Operating, version: int, *, paused: bool, **spec: Any) -> None:
    pool, known = made.pool(**spec), it.cache.pools.get(KEY)
    annotations = PAUSED["annotations"] if paused else {}
    changes = {"resource_version": str(100 * version), "generation": version, "annotations": annotations}
    status = pool.status if known is None else known.status
    it.put(pool.model_copy(update={"metadata": pool.metadata.model_copy(update=changes), "status": status}))
    await elapse(5.0)


def paused(it: Operating, name: str | None = None) -> Condition | None:
    """What the pool, or the adapter, says of it."""
    if name is not None:
        return find(it.status(name).conditions, "Paused")
    pool = it.cache.pools.get(KEY)
    return None if pool is None else find(pool.status.conditions, "Paused")


def replicas(it: Operating) -> list[int]:
    """What the Deployment was told, each time."""
    return [w.body["spec"]["replicas"] for w in it.api.writes if w.name == "Deployment/shapes-runtime"]


async def test_the_objects_of_a_pool_that_is_paused_stay_as_they_are(it: Operating, pod: FakePod) -> None:
    assert paused(it) is None
    await put_pool(it, 2, paused=True, replicas=3)
    await elapse(300.0)
    assert 3 not in replicas(it)
    said = paused(it)
    assert said is not None
    assert (said.status, said.reason) == ("True", "Paused")
    assert PAUSED_ANNOTATION in said.message

    await put_pool(it, 3, paused=False, replicas=3)
    assert replicas(it)[-1] == 3
    assert paused(it) is None


async def test_pods_of_a_pool_that_is_paused_are_told_nothing_new(it: Operating, pod: FakePod) -> None:
    await put_pool(it, 2, paused=True)
    it.put(adapter("new"))
    await edit(it, "pixel", 0.5, paused=False)
    assert (set(pod.entries), pod.entries["default/pixel"].scale) == ({"default/pixel"}, 1.0)
    assert it.is_let_go("new"), "it is not marked either"
    assert it.status("new").conditions, "and still it is said how it fares"

    late = it.start_pod(FakePod(), OTHER_IP, "p-2")
    await elapse(5.0)
    assert late.entries == pod.entries, "a pod that comes serves what the others do"

    await put_pool(it, 3, paused=False)
    assert (set(pod.entries), pod.entries["default/pixel"].scale) == ({"default/pixel", "default/new"}, 0.5)


async def test_pods_keep_what_they_were_told_of_an_adapter_that_is_paused(it: Operating, pod: FakePod) -> None:
    await edit(it, "pixel", 0.5, paused=True)
    it.put(adapter("new"))
    await elapse(5.0)
    assert (set(pod.entries), pod.entries["default/pixel"].scale) == ({"default/pixel", "default/new"}, 1.0)
    assert paused(it, "pixel") is not None
    assert it.status("pixel").summary == "Served"
    assert paused(it, "new") is None

    await edit(it, "pixel", 0.5, paused=False)
    assert pod.entries["default/pixel"].scale == 0.5
    assert paused(it, "pixel") is None


async def test_an_operator_that_comes_later_serves_on_what_the_status_says_is_served(
    it: Operating, pod: FakePod
) -> None:
    await put_pool(it, 2, paused=True)
    it.put(adapter("new"))
    again = Workers(it.context)
    it.listeners[:] = [again.wake]
    again.wake(KEY)
    await elapse(5.0)
    assert set(pod.entries) == {"default/pixel"}
    await again.stop()


async def test_what_is_paused_and_deleted_is_let_go(it: Operating, pod: FakePod) -> None:
    await edit(it, "pixel", 1.0, paused=True)
    await put_pool(it, 2, paused=True)
    assert ADAPTER_FINALIZER in it.adapter("pixel").metadata.finalizers
    it.delete("pixel")
    await elapse(5.0)
    assert it.is_let_go("pixel")
    assert set(pod.entries) == set()


@pytest.mark.parametrize(("value", "is_paused"), [("", True), ("true", True), ("false", False), (None, False)])
def test_false_is_as_good_as_no_annotation(value: str | None, is_paused: bool) -> None:
    annotations = {} if value is None else {PAUSED_ANNOTATION: value}
    assert adapter("pixel", annotations=annotations).metadata.is_paused is is_paused
