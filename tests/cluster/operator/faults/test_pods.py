"""Pods that answer nonsense or late, and a Hub that never answers: that is nobody else's trouble."""

import time

import pytest
from tests.cluster.operator.faults.scene import FILES, NAME, Scene
from tests.cluster.operator.harness import until
from tests.operator_hub import Repo

from lorapool_api.wire.state import BasePhase, BaseState, PodState
from lorapool_common.kube.resources import ADAPTERS

pytestmark = [pytest.mark.plane, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

MANY = 50
STRANGER = PodState(
    instance="x" * 200,
    version=2**62,
    digest="f" * 64,
    base=BaseState(phase=BasePhase.WARM),
    complete=True,
)
GARBAGE = (
    b"",
    b"{",
    b"[1, 2, 3]",
    b"\x00\xff" * 1000,
    b'{"instance": null}',
    b"[" * 100_000,
    b"9" * 3_000_000,
    STRANGER.model_dump_json().encode(),
)


async def test_a_pod_that_answers_garbage_hinders_no_other_and_is_put_right(served: Scene) -> None:
    bad = next(iter(served.it.kubelet.pods.values()))
    for number, garbage in enumerate(GARBAGE):
        await bad.change(garbage=garbage)
        await served.make(f"g{number}", "a/one")
        await served.it.adapter_says("Served", f"g{number}", timeout_s=30)
    for number in range(0, len(GARBAGE), 2):
        await served.delete(f"g{number}")
        await served.it.gone(ADAPTERS, f"g{number}")
    await bad.change(garbage=None)
    await served.is_as_specified()
    await served.clear()
    await served.is_as_specified()


async def test_a_pod_that_answers_late_hinders_no_other(served: Scene) -> None:
    late = next(iter(served.it.kubelet.pods.values()))
    late.slow_s = 3.0
    began = time.monotonic()
    await served.play("late")
    await served.it.adapter_says("Served", "late-stays")
    assert time.monotonic() - began < 10.0
    await served.play_on("late")
    await served.is_as_specified()
    late.slow_s = 0.0
    await served.clear()
    await served.is_as_specified()


async def test_a_hub_that_never_answers_for_one_of_fifty_holds_up_that_one(served: Scene) -> None:
    content = FILES["a/one"]
    served.hub.repos |= {f"b/n{i}": Repo({NAME: content}, hangs=i == 7) for i in range(MANY)}
    for number in range(MANY):
        await served.it.make_adapter(f"n{number}", source={"hub": {"repo": f"b/n{number}"}})

    async def summaries() -> dict[str, str]:
        listed = await served.it.kube.list(ADAPTERS, served.it.namespace)
        return {b["metadata"]["name"]: b.get("status", {}).get("summary", "") for b in listed}

    others = {f"n{number}": "Served" for number in range(MANY) if number != 7}
    await until(summaries, lambda found: {n: s for n, s in found.items() if n != "n7"} == others, 60)
    await until(summaries, lambda found: found["n7"] in ("Resolving", "SourceUnavailable"), 60)
    for number in range(MANY):
        await served.it.delete(ADAPTERS, f"n{number}")
    await served.is_as_specified()
