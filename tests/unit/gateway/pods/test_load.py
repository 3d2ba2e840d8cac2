"""What is known of a pod's load, and how it is kept."""

import asyncio

from tests.unit.gateway.fakes import World
from tests.waiting import until

from lorapool_api.wire.state import ServingStatus
from lorapool_common.changes import Changes
from lorapool_gateway.cluster.directory import ObjectKind
from lorapool_gateway.cluster.snapshot import RuntimePod
from lorapool_gateway.pods.load import Loads
from lorapool_gateway.pods.poller import Poller

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
