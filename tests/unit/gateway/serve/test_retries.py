"""A request that a pod did not serve: given to another, or given up."""

import asyncio

import pytest
from tests.unit.gateway.fakes import SHA, World, read
from tests.unit.gateway.serve.asked import BASE, LOST, PIXEL, REQUEST, UNREACHABLE, trouble
from tests.waiting import until

from lorapool_api.kinds.conditions import Reason
from lorapool_api.wire.reply import ErrorCode, ErrorReply
from lorapool_api.wire.state import Tier
from lorapool_gateway.cluster.directory import ObjectKind
from lorapool_gateway.errors import (
    AdapterUnavailable,
    BadRequest,
    Busy,
    ContentRefused,
    NotChecked,
    OutOfMemory,
    PodFailed,
)
from lorapool_gateway.pods.errors import PodError
from lorapool_gateway.routing.request import ResolvedRequest


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


async def test_a_version_is_asked_for_by_its_own_key_and_told_by_the_adapters(world: World) -> None:
    manifest = read(world.adapter())
    serving = {"key": "default/pixel@1", "source": {"path": "/a"}, "sha256": SHA}
    world.directory.put(ObjectKind.ADAPTER, manifest | {"status": manifest["status"] | {"serving": serving}})
    world.pod("far", tiers={"default/pixel": Tier.DEVICE})
    near = world.pod("near", tiers={"default/pixel@1": Tier.DEVICE})
    served = await world.proxy.generate(PIXEL)
    assert [use.key for use in near.received[0].adapters] == ["default/pixel@1"]
    assert [use.key for use in served.reply.adapters] == ["default/pixel"]


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
        (trouble(ErrorCode.CONTENT_REFUSED), ContentRefused),
        (trouble(ErrorCode.NOT_CHECKED, retryable=True), NotChecked),
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


async def test_a_lost_pod_gets_requests_again_when_it_speaks_again(world: World) -> None:
    pod = world.pod()
    pod.troubles.append(UNREACHABLE)
    held = asyncio.create_task(world.proxy.generate(BASE))
    await until(lambda: world.loads.of(pod.pod) is None and bool(pod.received), "it is lost")
    world.loads.update(pod.pod, pod.status)
    assert (await held).reply.pod == pod.name


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
