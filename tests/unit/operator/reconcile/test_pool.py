"""A pool, its adapters and its pods over time: workers, passes and links together, in memory."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests import make
from tests.unit.operator import make as made
from tests.unit.operator.context import LoopClock
from tests.unit.operator.fake_pods import FakePod
from tests.unit.operator.reconcile.operating import OTHER_IP, Operating
from tests.virtual_time import elapse, until

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.names import ADAPTER_FINALIZER
from lorapool_api.wire.state import AdapterPhase
from lorapool_operator.decide.adapters.incremental.status_news import StatusNews
from lorapool_operator.decide.finalizers import UNREGISTER_GRACE_S
from lorapool_operator.pods.control import ControlError
from lorapool_operator.reconcile.worker import Workers
from lorapool_operator.seen.resolution import Resolution

pytestmark = pytest.mark.virtual_time

ON_THE_HUB = {"hub": {"repo": "a/b"}}


def adapter(name: str, **metadata: Any) -> Adapter:
    return make.adapter(name, metadata={"resourceVersion": "1"} | metadata)


@pytest.fixture
async def it() -> AsyncIterator[Operating]:
    bench = Operating(clock=LoopClock())
    workers = Workers(bench.context)
    bench.listeners.append(workers.wake)
    yield bench
    await workers.stop()


@pytest.fixture
async def pod(it: Operating) -> FakePod:
    """A pool with one pod that is warm."""
    it.put(made.pool())
    await elapse(1.0)
    pod = it.start_pod(FakePod())
    await elapse(1.0)
    return pod


async def test_an_adapter_is_served_within_a_moment_by_two_writes(it: Operating, pod: FakePod) -> None:
    it.put(adapter("pixel"))
    assert await it.says("Served", "pixel") < 0.5
    assert set(pod.entries) == {"default/pixel"}
    assert (it.api.count("loraadapters/pixel"), it.api.count("loraadapters/pixel/status")) == (1, 1)
    assert [draft for draft in it.told.drafts if isinstance(draft.about, Adapter)] == []


async def test_an_api_server_that_takes_its_time_over_finalizers_gets_no_status_from_before_pods_were_asked(
    it: Operating,
) -> None:
    it.put(made.pool())
    await elapse(1.0)
    it.api.write_s = 5.0
    it.put(adapter("pixel"))
    it.start_pod(FakePod()).answers_s = 0.3
    await elapse(1.0)
    it.cache.wake(["default/shapes"])  # the next pass follows at once
    await it.says("Served", "pixel")
    assert it.status_writes("pixel") == 1


async def test_where_nothing_happens_nothing_is_written(it: Operating, pod: FakePod) -> None:
    it.put(adapter("pixel"))
    await elapse(5.0)
    pushes = list(pod.pushes)
    before = [w.name for w in it.api.writes]
    await elapse(3600.0)
    assert [w.name for w in it.api.writes] == before
    assert pod.pushes == pushes


async def test_a_restart_writes_nothing_of_what_is_as_it_was(it: Operating, pod: FakePod) -> None:
    it.put(adapter("pixel"))
    await it.says("Served", "pixel")
    await elapse(5.0)
    before, pushes = len(it.api.writes), list(pod.pushes)

    again = Workers(it.context)
    it.listeners[:] = [again.wake]
    again.wake("default/shapes")
    await elapse(30.0)
    await again.stop()

    applied = {"Service", "PodDisruptionBudget", "Deployment"}
    assert {w.body.get("kind") for w in it.api.writes[before:]} == applied
    assert pod.pushes == pushes


async def test_a_pod_that_comes_later_serves_too(it: Operating, pod: FakePod) -> None:
    it.put(adapter("pixel"))
    await it.says("Served", "pixel")
    late = it.start_pod(FakePod(), OTHER_IP, "p-2")

    def is_served_by_both() -> bool:
        pods = it.status("pixel").pods
        return pods is not None and (pods.ready, pods.total) == (2, 2)

    assert await until(is_served_by_both, 60.0) < StatusNews.COUNTS.may_wait_s + 1.0
    assert set(late.entries) == {"default/pixel"}


async def test_a_pod_that_never_takes_a_catalog_holds_statuses_up_for_a_second_once(
    it: Operating, pod: FakePod
) -> None:
    deaf = FakePod()
    deaf.push_error = ControlError("no")
    it.start_pod(deaf, OTHER_IP, "deaf")
    await elapse(5.0)
    it.put(adapter("first"))
    assert await it.says("Served", "first") < 1.5
    for number in range(3):
        it.put(adapter(f"more-{number}"))
        assert await it.says("Served", f"more-{number}") < 1.0


async def test_a_deleted_adapter_is_let_go_as_soon_as_pods_have_forgotten_it(it: Operating, pod: FakePod) -> None:
    it.put(adapter("pixel"), adapter("other"))
    await it.says("Served", "pixel")
    it.delete("pixel")
    assert await until(lambda: it.is_let_go("pixel")) < 0.5
    assert set(pod.entries) == {"default/other"}


async def test_a_silent_pod_holds_a_deletion_up_for_the_grace_period(it: Operating, pod: FakePod) -> None:
    it.put(adapter("pixel"))
    await it.says("Served", "pixel")
    pod.error = ControlError("gone")
    pod.tell()
    await elapse(5.0)
    it.delete("pixel")
    assert UNREGISTER_GRACE_S <= await until(lambda: it.is_let_go("pixel")) < UNREGISTER_GRACE_S + 0.5


async def test_deletions_do_not_wait_for_a_stream_of_new_adapters(it: Operating, pod: FakePod) -> None:
    """Each new one makes another catalog; a pod has forgotten an adapter when it holds any that lacks it."""
    it.put(adapter("pixel"))
    await it.says("Served", "pixel")
    pod.takes_s = 0.1
    it.delete("pixel")
    for number in range(20):
        it.put(adapter(f"new-{number}"))
        await elapse(0.06)
    assert it.is_let_go("pixel")


async def test_an_adapter_without_a_pool_waits_for_it(it: Operating) -> None:
    it.put(adapter("pixel"))
    await it.says("PoolNotFound", "pixel")
    it.put(made.pool())
    await it.says("WaitingForPods", "pixel")
    assert ADAPTER_FINALIZER in it.adapter("pixel").metadata.finalizers


async def test_what_is_suspended_is_not_followed(it: Operating, pod: FakePod) -> None:
    def followed(version: int, *, suspend: bool) -> Adapter:
        metadata = {"resourceVersion": str(version), "generation": version}
        return make.adapter("pixel", source=ON_THE_HUB, follow=True, suspend=suspend, metadata=metadata)

    it.found.outcomes["default/pixel"] = Resolution(revision="c" * 40, file="x.safetensors", rank=8)
    it.put(followed(1, suspend=False))
    await elapse(5.0)
    assert it.found.paused == []
    it.put(followed(99, suspend=True))
    await elapse(5.0)
    assert set(it.found.paused) == {"uid-default-pixel"}


async def test_a_pod_that_replaces_another_is_told_what_it_must_have_before_it_takes_requests(
    it: Operating, pod: FakePod
) -> None:
    it.put(adapter("pixel"), adapter("late"))
    pod.phases["default/late"] = AdapterPhase.DOWNLOADING
    await it.says("Served", "pixel")
    new = it.start_pod(FakePod(), OTHER_IP, "p-2", revision=2, ready=False)
    await elapse(5.0)
    assert new.assignment is not None
    assert new.assignment.holds == {"default/pixel", "default/late"}
    assert new.assignment.first == {"default/pixel"}, "the old pod has not got the other"
    assert pod.assignment is not None
    assert pod.assignment.first == frozenset()
    assert new.calls.index("assign") < new.calls.index("put"), "it knows before its catalog makes it ready"
