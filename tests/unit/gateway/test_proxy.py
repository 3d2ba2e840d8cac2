"""A request on its way: held, given to a pod, given to another, given up."""

import asyncio

import pytest
from tests import make
from tests.unit.gateway.fakes import SHA, World, read, until, with_ready

from lorapool_api.kinds.conditions import Reason
from lorapool_api.wire.reply import ErrorCode, ErrorReply
from lorapool_api.wire.request import AdapterUse, GenerateRequest
from lorapool_api.wire.state import Tier
from lorapool_gateway.cluster.directory import ObjectKind
from lorapool_gateway.errors import (
    AdapterUnavailable,
    BadRequest,
    Busy,
    NoPodReady,
    OutOfMemory,
    PodFailed,
    UnknownModel,
)
from lorapool_gateway.pods.client import ConnectionLost, PodError, Unreachable
from lorapool_gateway.pods.load import Poller
from lorapool_gateway.routing.request import ResolvedRequest

REQUEST = GenerateRequest(prompt="a cat", seed=3)
BASE = ResolvedRequest("default/shapes", REQUEST)
USES = (AdapterUse(key="default/pixel", scale=0.5),)
PIXEL = ResolvedRequest("default/shapes", REQUEST.model_copy(update={"adapters": USES}))
LOST = ConnectionLost("gone")
UNREACHABLE = Unreachable("refused")


def trouble(code: ErrorCode, *, retryable: bool = False, reason: Reason | None = None) -> ErrorReply:
    return ErrorReply(code=code, message="because", retryable=retryable, reason=reason)


@pytest.fixture
def world() -> World:
    made = World()
    made.pool()
    made.adapter()
    return made


async def test_the_pod_gets_the_stack_with_scales_and_files(world: World) -> None:
    pod = world.pod()
    served = await world.proxy.generate(PIXEL)
    (use,) = pod.received[0].adapters
    assert (use.key, use.scale, use.sha256) == ("default/pixel", 0.5, SHA)
    assert served.reply.pod == "pod-a"


async def test_a_request_goes_where_the_adapter_is(world: World) -> None:
    world.pod("far", tiers={"default/pixel": Tier.DISK})
    near = world.pod("near", tiers={"default/pixel": Tier.DEVICE})
    await world.proxy.generate(PIXEL)
    assert len(near.received) == 1


async def test_a_request_waits_for_the_first_pod(world: World) -> None:
    held = asyncio.create_task(world.proxy.generate(BASE))
    await until(lambda: b'waiting_requests{pool="default/shapes"} 1.0' in world.metrics.text(), "it is held")
    pod = world.pod()
    assert (await held).reply.pod == pod.name


async def test_no_more_requests_wait_for_a_pool_than_its_pods_would_let_wait(world: World) -> None:
    world.pool(replicas=2, serving={"maxPending": 3})
    held = [asyncio.create_task(world.proxy.generate(BASE)) for _ in range(8)]
    await until(lambda: sum(task.done() for task in held) == 2, "two are refused")
    assert all(isinstance(task.exception(), Busy) for task in held if task.done())
    world.pod()
    served = [task for task in held if not task.done()]
    await asyncio.wait(served)
    # Its room is that of a pod that lets four wait while one runs; the sixth is refused as by any full pool.
    assert sum(task.exception() is None for task in served) >= 5
    world.network.pods.clear()


async def test_a_request_without_a_pod_ends_with_the_pools_time_and_says_why(world: World) -> None:
    world.pool(serving={"requestTimeoutSeconds": 1})
    with pytest.raises(NoPodReady, match="no pod of pool default/shapes is ready"):
        await world.proxy.generate(BASE)


async def test_a_request_waits_for_an_adapter_that_is_on_its_way(world: World) -> None:
    world.adapter(ready={"status": "False", "reason": "Downloading"})
    world.pod()
    held = asyncio.create_task(world.proxy.generate(PIXEL))
    await until(lambda: b'waiting_requests{pool="default/shapes"} 1.0' in world.metrics.text(), "it is held")
    world.adapter()
    assert (await held).reply.adapters[0].sha256 == SHA


async def test_an_adapter_that_takes_too_long_is_reported_with_its_condition() -> None:
    world = World(adapter_hold_s=0.01)
    world.pool()
    world.adapter(ready={"status": "False", "reason": "Downloading", "message": "3 of 9 MB"})
    with pytest.raises(AdapterUnavailable, match="3 of 9 MB") as refused:
        await world.proxy.generate(PIXEL)
    assert refused.value.transient


async def test_an_adapter_that_can_never_be_served_is_not_waited_for(world: World) -> None:
    world.adapter(ready={"status": "False", "reason": "BaseModelMismatch"})
    with pytest.raises(AdapterUnavailable):
        await world.proxy.generate(PIXEL)


async def test_an_adapter_deleted_while_its_request_is_held_ends_it(world: World) -> None:
    held = asyncio.create_task(world.proxy.generate(PIXEL))
    await until(lambda: b'waiting_requests{pool="default/shapes"} 1.0' in world.metrics.text(), "it is held")
    world.directory.drop(ObjectKind.ADAPTER, read(make.adapter()))
    with pytest.raises(UnknownModel):
        await held


@pytest.mark.parametrize(
    "first",
    [
        LOST,
        UNREACHABLE,
        trouble(ErrorCode.NOT_READY),
        trouble(ErrorCode.ADAPTER_NOT_READY),
        trouble(ErrorCode.UNKNOWN_ADAPTER),
        trouble(ErrorCode.TOO_MANY_PENDING),
        trouble(ErrorCode.INTERNAL, retryable=True),
        trouble(ErrorCode.ADAPTER_FAILED, retryable=True),
    ],
    ids=lambda first: first.code if isinstance(first, ErrorReply) else type(first).__name__,
)
async def test_what_one_pod_cannot_do_another_does(world: World, first: ErrorReply | PodError) -> None:
    near = world.pod("near", tiers={"default/pixel": Tier.DEVICE})
    near.troubles.append(first)
    far = world.pod("far", tiers={"default/pixel": Tier.DISK})
    served = await world.proxy.generate(PIXEL)
    assert served.reply.pod == "far"
    assert (len(near.received), len(far.received)) == (1, 1)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (trouble(ErrorCode.INVALID_REQUEST), BadRequest),
        (trouble(ErrorCode.ADAPTER_FAILED, reason=Reason.INVALID_WEIGHTS), AdapterUnavailable),
        (trouble(ErrorCode.INTERNAL), PodFailed),
        (trouble(ErrorCode.OUT_OF_MEMORY), OutOfMemory),
    ],
)
async def test_what_would_fail_anywhere_is_asked_of_one_pod_only(
    world: World, answer: ErrorReply, error: type[Exception]
) -> None:
    pods = [world.pod("a"), world.pod("b")]
    for pod in pods:
        pod.troubles.append(answer)
    with pytest.raises(error, match="because"):
        await world.proxy.generate(PIXEL)
    assert sum(len(pod.received) for pod in pods) == 1


async def test_a_pod_that_says_it_is_full_is_asked_once_and_the_pool_called_busy(world: World) -> None:
    pod = world.pod()
    pod.troubles.extend([trouble(ErrorCode.TOO_MANY_PENDING)] * 10)
    with pytest.raises(Busy) as refused:
        await world.proxy.generate(BASE)
    assert len(pod.received) == 1
    assert refused.value.should_retry


async def test_pods_that_are_known_to_be_full_are_not_asked(world: World) -> None:
    pods = [world.pod("a", pending=4), world.pod("b", pending=4)]
    with pytest.raises(Busy, match="each of its 2 pods"):
        await world.proxy.generate(BASE)
    assert not any(pod.received for pod in pods)


async def test_a_burst_is_refused_from_what_the_gateway_has_sent_itself(world: World) -> None:
    """One runs, four wait, and the pod has not spoken since."""
    pod = world.pod(hold=asyncio.Event())
    burst = [asyncio.create_task(world.proxy.generate(BASE)) for _ in range(20)]
    await until(lambda: sum(task.done() for task in burst) == 15, "all but those that it can take are refused")
    assert all(isinstance(task.exception(), Busy) for task in burst if task.done())
    assert pod.hold is not None
    pod.hold.set()
    await asyncio.wait(burst)
    assert len(pod.received) == 5


async def test_a_request_that_costs_two_pods_their_connection_is_given_up_and_not_worth_sending_again(
    world: World,
) -> None:
    pods = [world.pod(name) for name in ("a", "b", "c")]
    for pod in pods:
        pod.troubles.append(LOST)
    with pytest.raises(PodFailed) as failed:
        await world.proxy.generate(BASE)
    assert not failed.value.should_retry
    assert sum(len(pod.received) for pod in pods) == 2


async def test_what_fails_inside_two_pods_is_not_tried_in_a_third(world: World) -> None:
    pods = [world.pod(name) for name in ("a", "b", "c")]
    for pod in pods:
        pod.troubles.append(trouble(ErrorCode.INTERNAL, retryable=True))
    with pytest.raises(PodFailed) as failed:
        await world.proxy.generate(BASE)
    assert not failed.value.should_retry
    assert sorted(len(pod.received) for pod in pods) == [0, 1, 1]


async def test_what_fails_inside_the_only_pod_is_not_tried_there_again(world: World) -> None:
    pod = world.pod()
    pod.troubles.append(trouble(ErrorCode.INTERNAL, retryable=True))
    with pytest.raises(PodFailed, match="because"):
        await world.proxy.generate(BASE)
    assert len(pod.received) == 1


async def test_a_pod_that_has_just_failed_comes_after_the_others(world: World) -> None:
    near = world.pod("near", tiers={"default/pixel": Tier.DEVICE})
    near.troubles.append(trouble(ErrorCode.INTERNAL, retryable=True))
    far = world.pod("far", tiers={"default/pixel": Tier.DISK})
    for _ in range(3):
        await world.proxy.generate(PIXEL)
    assert (len(near.received), len(far.received)) == (1, 3)


async def test_a_request_is_held_until_a_pod_has_its_adapter(world: World) -> None:
    pod = world.pod()
    pod.troubles.extend([trouble(ErrorCode.ADAPTER_NOT_READY)] * 6)
    assert (await world.proxy.generate(PIXEL)).reply.pod == pod.name


async def test_an_adapter_that_no_pod_gets_in_time_is_given_up() -> None:
    world = World(adapter_hold_s=0.05)
    world.pool()
    world.adapter()
    pod = world.pod()
    pod.troubles.extend([trouble(ErrorCode.ADAPTER_NOT_READY)] * 10_000)
    with pytest.raises(AdapterUnavailable, match="because") as refused:
        await world.proxy.generate(PIXEL)
    assert refused.value.should_retry


async def test_a_lost_pod_gets_requests_again_when_it_speaks_again(world: World) -> None:
    pod = world.pod()
    pod.troubles.append(UNREACHABLE)
    held = asyncio.create_task(world.proxy.generate(BASE))
    await until(lambda: world.loads.of(pod.pod) is None and bool(pod.received), "it is lost")
    world.loads.heard(pod.pod, pod.status)
    assert (await held).reply.pod == pod.name


async def test_the_file_that_counts_is_the_newest_one_when_the_request_is_sent(world: World) -> None:
    pod = world.pod()
    pod.troubles.append(trouble(ErrorCode.ADAPTER_NOT_READY))
    newer = "cd" * 32
    edited = with_ready(make.adapter()).model_dump(mode="json", by_alias=True, exclude_none=True)
    edited["status"]["resolved"]["sha256"] = newer
    held = asyncio.create_task(world.proxy.generate(PIXEL))
    await pod.got_one.wait()
    world.directory.put(ObjectKind.ADAPTER, edited)
    await held
    assert pod.received[-1].adapters[0].sha256 == newer


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"width": 100}, "multiple of 8"),
        ({"height": 0}, "multiple of 8"),
        ({"width": 4096, "height": 4096}, "at most 2359296"),
        ({"steps": 1000}, "between 1 and 100"),
        ({"images": 9}, "between 1 and 4"),
    ],
)
async def test_what_the_pool_does_not_allow_never_reaches_a_pod(
    world: World, change: dict[str, int], words: str
) -> None:
    pod = world.pod()
    with pytest.raises(BadRequest, match=words):
        await world.proxy.generate(ResolvedRequest(BASE.pool, REQUEST.model_copy(update=change)))
    assert not pod.received


async def test_a_cancelled_request_is_cancelled_in_the_pod(world: World) -> None:
    pod = world.pod(hold=asyncio.Event())
    running = asyncio.create_task(world.proxy.generate(BASE))
    await pod.got_one.wait()
    running.cancel()
    await asyncio.wait([running])
    assert pod.was_cancelled.is_set()
    assert world.loads.of(pod.pod).queue == 0  # type: ignore[union-attr]


async def test_the_poller_finds_new_pods_forgets_lost_ones_and_asks_again_when_told(world: World) -> None:
    pod = world.pod()
    world.loads.lost(pod.pod)
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
