"""A pass over a pool, and what it does when writes fail."""

from typing import Any

import pytest
from tests import make
from tests.unit.operator import make as made
from tests.unit.operator.context import Bench, Manifest

from lorapool_api.kinds.adapter import NO_POOL, Adapter
from lorapool_api.kinds.pool import Pool, PoolStatus
from lorapool_api.names import ADAPTER_FINALIZER
from lorapool_common.kube.errors import ApiError
from lorapool_operator.decide.finalizers import UNREGISTER_GRACE_S
from lorapool_operator.decide.plan import SETTLE_S
from lorapool_operator.reconcile.failed_writes import REFUSED_AGAIN_S
from lorapool_operator.reconcile.reconciler import Reconciler

KEY = "default/shapes"
BAD_STATUS, GOOD_STATUS = "loraadapters/bad/status", "loraadapters/good/status"


def adapter(name: str, version: int = 1, **metadata: Any) -> Adapter:
    """Known to the operator for a while: it has the finalizer."""
    return make.adapter(name, metadata={"finalizers": [ADAPTER_FINALIZER], "resourceVersion": str(version)} | metadata)


def pool(version: int = 1, **spec: Any) -> Pool:
    plain = made.pool(**spec)
    return plain.model_copy(update={"metadata": plain.metadata.model_copy(update={"resource_version": str(version)})})


class Refusing:
    """Refuses the writes of one name."""

    def __init__(self, name: str, status: int, message: str = "no") -> None:
        self.name, self.error = name, ApiError(status, "Invalid", message)

    def __call__(self, name: str, body: Manifest) -> ApiError | None:
        return self.error if name == self.name else None


@pytest.fixture
async def bench() -> Bench:
    it = Bench()
    it.put(pool(), adapter("bad"), adapter("good"))
    return it


def status(bench: Bench) -> PoolStatus:
    found = bench.cache.pools.get(KEY)
    assert found is not None
    return found.status


def reconciler(bench: Bench) -> Reconciler:
    return Reconciler(KEY, bench.context, lambda: None)


async def test_a_pass_that_changes_nothing_writes_nothing(bench: Bench) -> None:
    passes = reconciler(bench)
    await bench.settle(passes)
    before = len(bench.api.writes)

    done = await passes.run()

    assert before > 0
    assert len(bench.api.writes) == before
    assert (done.failures, done.again_s) == (0, None)


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_a_status_that_was_refused_is_not_written_again(bench: Bench, status: int) -> None:
    bench.api.refuse = Refusing(BAD_STATUS, status)
    passes = reconciler(bench)

    for _ in range(5):
        done = await passes.run()
        bench.clock.s += 60.0  # conditions get another time at each pass: that is no other status

    assert bench.api.count(BAD_STATUS) == 1
    assert bench.api.count(GOOD_STATUS) == 1
    assert done.again_s is None
    assert done.failures == 1


async def test_a_status_that_was_refused_is_written_when_it_says_something_else(bench: Bench) -> None:
    bench.api.refuse = Refusing(BAD_STATUS, 422)
    passes = reconciler(bench)
    await passes.run()

    bench.put(pool(version=50, replicas=0))  # the adapter waits for pods for another reason now
    await passes.run()

    assert bench.api.count(BAD_STATUS) == 2


async def test_a_status_that_was_refused_is_written_when_its_object_was_edited(bench: Bench) -> None:
    bench.api.refuse = Refusing(BAD_STATUS, 422)
    passes = reconciler(bench)
    await passes.run()

    bench.put(adapter("bad", version=2, generation=2))
    await passes.run()

    assert bench.api.count(BAD_STATUS) == 2


async def test_a_refusal_does_not_last_for_ever(bench: Bench) -> None:
    """The definitions may have been brought up to date, which nothing tells of."""
    bench.api.refuse = Refusing(BAD_STATUS, 422)
    passes = reconciler(bench)
    await passes.run()

    bench.clock.s += REFUSED_AGAIN_S + 1.0
    await passes.run()

    assert bench.api.count(BAD_STATUS) == 2


@pytest.mark.parametrize("status", [0, 409, 429, 500, 503])
async def test_a_write_that_failed_for_a_passing_reason_waits_alone(bench: Bench, status: int) -> None:
    bench.api.refuse = Refusing(BAD_STATUS, status)
    passes = reconciler(bench)

    first = await passes.run()
    bench.put(adapter("late"))
    second = await passes.run()

    assert bench.api.count(BAD_STATUS) == 1
    assert bench.api.count("loraadapters/late/status") == 1
    assert first.again_s is not None
    assert second.again_s is not None
    bench.clock.s += first.again_s
    bench.api.refuse = lambda _name, _body: None
    done = await passes.run()
    assert bench.api.count(BAD_STATUS) == 2
    assert (done.failures, done.again_s) == (0, None)


async def test_a_write_that_failed_is_tried_at_once_when_its_object_changed(bench: Bench) -> None:
    bench.api.refuse = Refusing(BAD_STATUS, 409)
    passes = reconciler(bench)
    await passes.run()

    bench.put(adapter("bad", version=2))
    await passes.run()

    assert bench.api.count(BAD_STATUS) == 2


async def test_waits_grow(bench: Bench) -> None:
    bench.api.refuse = Refusing(BAD_STATUS, 500)
    passes = reconciler(bench)
    waits = []
    for _ in range(8):
        done = await passes.run()
        assert done.again_s is not None
        waits.append(done.again_s)
        bench.clock.s += done.again_s

    assert bench.api.count(BAD_STATUS) == 8
    assert waits[0] < 1.0
    assert 20.0 < waits[-1] < 40.0


async def test_a_finalizer_that_cannot_be_added_keeps_one_adapter_out_and_no_other(bench: Bench) -> None:
    bench.put(make.adapter("fresh", metadata={"resourceVersion": "1"}))
    bench.api.refuse = Refusing("loraadapters/fresh", 422)
    passes = reconciler(bench)

    await passes.run()
    await passes.run()

    assert bench.api.count("loraadapters/fresh") == 1
    assert bench.api.count(GOOD_STATUS) == 1


async def test_objects_that_were_refused_are_applied_again_when_the_pool_was_edited(bench: Bench) -> None:
    bench.api.refuse = Refusing("Deployment/shapes-runtime", 422, "spec.template.spec.containers[0].image: Required")
    passes = reconciler(bench)
    for _ in range(3):
        await passes.run()
        passes.refresh()

    assert bench.api.count("Deployment/shapes-runtime") == 1
    degraded = made.condition(status(bench).conditions, "Degraded")
    assert degraded.reason == "InvalidSpec"

    edited = pool(version=99, replicas=3)
    bench.put(edited.model_copy(update={"metadata": edited.metadata.model_copy(update={"generation": 2})}))
    bench.api.refuse = lambda _name, _body: None
    await bench.settle(passes)

    assert bench.api.count("Deployment/shapes-runtime") == 2
    degraded = made.condition(status(bench).conditions, "Degraded")
    assert degraded.reason == "Stable"


async def test_an_adapter_that_is_being_deleted_is_let_go_once_the_grace_is_over(bench: Bench) -> None:
    passes = reconciler(bench)
    await bench.settle(passes)
    bench.put_pod(made.pod(ip="127.0.0.1"))  # nobody listens there
    bench.put(adapter("bad", version=99, deletionTimestamp="2026-01-01T00:00:00Z"))
    began_s = bench.clock.s

    for _ in range(10):
        done = await passes.run()
        if bench.api.count("loraadapters/bad"):
            break
        assert done.failures == 0
        assert done.again_s is not None
        bench.clock.s += done.again_s

    assert bench.clock.s - began_s == UNREGISTER_GRACE_S
    (let_go,) = [w.body for w in bench.api.writes if w.name == "loraadapters/bad"]
    assert let_go["metadata"]["finalizers"] == []
    passes.close()


async def test_only_pods_of_the_pools_deployment_are_followed(bench: Bench) -> None:
    passes = reconciler(bench)
    await passes.run()
    bench.put_pod(made.pod("ours", ip="127.0.0.1"))
    bench.put_pod(made.pod("foreign", ip="127.0.0.2"), deployment="uid-of-another")
    bench.cache.pods.put("default/bare", made.pod("bare", ip="127.0.0.3"))  # only the label

    await passes.run()
    bench.clock.s += SETTLE_S  # nobody answered
    await passes.run()

    assert status(bench).replicas == 1
    assert set(passes.pods.reports()) == {"default/ours"}
    passes.close()


TYPO = (
    "failed to create typed patch object (default/shapes-runtime; apps/v1, Kind=Deployment): "
    ".spec.template.spec.nodeSelectr: field not declared in schema"
)


async def test_a_typo_in_the_pod_template_is_an_invalid_spec_with_its_path(bench: Bench) -> None:
    """The API server answers 500 to a field that it does not know in an object that is applied."""
    bench.api.refuse = Refusing("Deployment/shapes-runtime", 500, TYPO)
    passes = reconciler(bench)

    for _ in range(3):
        done = await passes.run()

    degraded = made.condition(status(bench).conditions, "Degraded")
    assert (degraded.status, degraded.reason) == ("True", "InvalidSpec")
    assert "spec.runtime.podTemplate.spec.nodeSelectr: field not declared in schema" in degraded.message
    assert bench.api.count("Deployment/shapes-runtime") == 1
    assert done.again_s is None


async def test_an_internal_error_of_the_api_server_is_passing_trouble(bench: Bench) -> None:
    bench.api.refuse = Refusing("Deployment/shapes-runtime", 500, "etcdserver: request timed out")

    done = await reconciler(bench).run()

    assert done.again_s is not None
    assert made.condition(status(bench).conditions, "Degraded").status == "False"


async def test_an_edit_that_our_own_write_brings_has_a_pass(bench: Bench) -> None:
    """The API server's answer has it before the watch, which then tells of nothing new."""
    passes = reconciler(bench)
    await bench.settle(passes)
    bench.woken.clear()
    bench.api.edits["shapes"] = {"metadata": {"generation": 2}, "spec": {"replicas": 3}}

    bench.put_pod(made.pod(ip="127.0.0.1"))
    bench.woken.clear()
    await passes.run()
    bench.clock.s += SETTLE_S
    await passes.run()

    assert set(bench.woken) == {KEY, NO_POOL}
    passes.close()


async def test_our_own_writes_have_no_pass(bench: Bench) -> None:
    passes = reconciler(bench)
    await passes.run()  # makes the Deployment, which the watch tells of
    bench.woken.clear()
    await bench.settle(passes)
    assert bench.api.count(GOOD_STATUS) == 1
    assert bench.woken == []
