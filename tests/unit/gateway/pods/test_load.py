"""What is known of a pod's load, and how it is kept."""

import asyncio
from dataclasses import replace
from typing import Any

from tests.unit.gateway.fakes import World
from tests.waiting import until

from lorapool_api.wire.state import Backlog, ServingCosts, ServingStatus
from lorapool_common.changes import Changes
from lorapool_gateway.cluster.directory import ObjectKind
from lorapool_gateway.cluster.snapshot import RuntimePod
from lorapool_gateway.pods.load import Loads
from lorapool_gateway.pods.poller import Poller
from lorapool_gateway.routing.costs.load import Work
from lorapool_gateway.routing.costs.model import expected_wait_s

POD = RuntimePod("a", "a", "default/shapes", "a")


def status(**known: int | bool) -> ServingStatus:
    plain = {"ready": True, "pending": 0, "running": 0, "max_pending": 4}
    return ServingStatus(instance="i", digest="d", **(plain | known))


def test_requests_since_a_pods_last_word_count_as_its_queue() -> None:
    loads, pod = Loads(Changes()), POD
    loads.update(pod, status(pending=1, running=1))
    with loads.request(pod):
        found = loads.of(pod)
        assert found is not None
        assert found.queue == 3


def test_requests_that_a_pod_already_counts_are_not_counted_twice() -> None:
    loads, pod = Loads(Changes()), POD
    with loads.request(pod):
        loads.update(pod, status(running=1))
        assert loads.of(pod).queue == 1  # type: ignore[union-attr]


def test_a_pod_that_is_lost_or_not_ready_takes_nothing() -> None:
    loads, pod = Loads(Changes()), POD
    assert loads.of(pod) is None
    loads.update(pod, status(ready=False))
    assert loads.of(pod) is None
    loads.update(pod, status())
    assert loads.of(pod) is not None
    loads.mark_unreachable(pod)
    assert loads.of(pod) is None


def test_a_pod_that_has_failed_comes_last_for_a_while_longer_each_time_until_it_succeeds() -> None:
    now = 0.0
    loads, pod = Loads(Changes(), clock=lambda: now), POD
    loads.update(pod, status())

    def is_suspect() -> bool:
        found = loads.of(pod)
        assert found is not None
        return found.is_suspect

    loads.mark_failed(pod)
    assert is_suspect()
    now = 11.0
    assert not is_suspect()
    loads.mark_failed(pod)
    now = 30.0
    assert is_suspect()
    loads.mark_succeeded(pod)
    assert not is_suspect()


def test_a_pod_that_has_refused_is_full_until_it_speaks_again() -> None:
    loads, pod = Loads(Changes()), POD
    loads.update(pod, status())
    loads.mark_full(pod)
    assert loads.of(pod).is_full  # type: ignore[union-attr]
    loads.update(pod, status())
    assert not loads.of(pod).is_full  # type: ignore[union-attr]


COSTS = ServingCosts(step_s={"none": 0.3, "unmerged": 0.4}, image_s=0.0)
TEN_S = Work(("default/pixel",), steps=25)


def busy(work_s: float, **known: Any) -> ServingStatus:
    return status(**known).model_copy(
        update={"costs": COSTS, "backlog": Backlog(work_s=work_s, active=("default/round",))}
    )


def test_a_pod_works_on_while_nothing_is_told_of_it() -> None:
    now = 0.0
    loads = Loads(Changes(), clock=lambda: now)
    loads.update(POD, busy(8.0, running=1))
    now = 3.0

    found = loads.of(POD)

    assert found is not None
    assert found.wait_s == 5.0
    now = 20.0
    assert loads.of(POD).wait_s == 0  # type: ignore[union-attr]


def test_a_request_that_a_pod_did_not_know_of_is_part_of_its_work() -> None:
    loads = Loads(Changes(), clock=lambda: 0.0)
    loads.update(POD, busy(8.0, running=1))
    with loads.request(POD, TEN_S):
        assert loads.of(POD).wait_s == 18.0  # type: ignore[union-attr]
        loads.update(POD, busy(17.0, running=2))
        assert loads.of(POD).wait_s == 17.0  # type: ignore[union-attr]


def test_the_first_request_to_an_idle_pod_makes_its_stack_the_active_one() -> None:
    loads = Loads(Changes(), clock=lambda: 0.0)
    loads.update(POD, busy(0.0))
    with loads.request(POD, TEN_S), loads.request(POD, Work(("default/other",), steps=25)):
        found = loads.of(POD)
        assert found is not None
        assert (found.wait_s, found.active) == (20.0, ("default/pixel",))


def test_what_a_pod_says_again_is_fresh_and_what_it_does_not_grows_old() -> None:
    now = 0.0
    loads = Loads(Changes(), clock=lambda: now)
    loads.update(POD, busy(8.0))

    def is_stale() -> bool:
        found = loads.of(POD)
        assert found is not None
        return found.is_stale

    now = 0.09
    assert not is_stale()
    loads.unchanged(POD)
    now = 0.18
    assert not is_stale()
    now = 0.3
    assert is_stale()
    assert loads.of(POD).wait_s == 7.7  # type: ignore[union-attr]


async def test_the_poller_finds_new_pods_forgets_lost_ones_and_asks_again_when_told(world: World) -> None:
    pod = world.pod()
    world.loads.mark_unreachable(pod.pod)
    poller = Poller(world.directory, world.loads, world.network)
    running = asyncio.create_task(poller.run())
    await until(lambda: world.loads.of(pod.pod) is not None, "the pod is known")
    pod.pending = 3
    poller.refresh(pod.pod)
    await until(lambda: world.loads.of(pod.pod).queue == 3, "its status is new")  # type: ignore[union-attr]
    world.directory.drop(ObjectKind.POD, pod.manifest)
    await until(lambda: world.loads.of(pod.pod) is None, "the pod is forgotten")
    running.cancel()
    await asyncio.wait([running])


def test_a_caller_waits_for_its_turn_in_a_pod_and_not_for_all_that_others_have_there() -> None:
    now = 0.0
    loads = Loads(Changes(), clock=lambda: now)
    backlog = Backlog(work_s=100.0, newcomer_s=8.0, callers_s={"many": 100.0, "some": 30.0})
    loads.update(POD, busy(0.0, pending=9, running=1).model_copy(update={"backlog": backlog}))

    def wait_s(caller: str) -> float:
        found = loads.of(POD)
        assert found is not None
        return expected_wait_s(found, caller)

    now = 3.0
    assert [wait_s(caller) for caller in ("many", "some", "nobody yet")] == [97.0, 27.0, 5.0]
    # Sent since: each waits behind its own, and behind one of somebody else.
    work = replace(TEN_S, caller="some")
    with loads.request(POD, work), loads.request(POD, work):
        assert [wait_s(caller) for caller in ("some", "nobody yet")] == [47.0, 15.0]
    now = 50.0
    assert wait_s("nobody yet") == 0.0
