"""A pod that sleeps as the operator tells it, and wakes for a request."""

import re
from pathlib import Path

import pytest
from tests.runtime.pods import Running, config, entry, eventually, settings, started, write_adapter

from lorapool_api.kinds.runtime import StubTimings
from lorapool_api.wire.fleet import Assignment
from lorapool_api.wire.state import ServingStatus


async def told(pod: Running, sleep_after_s: float | None) -> None:
    assignment = Assignment.of("pod-0", {}, []).with_sleep(sleep_after_s)
    (await pod.control.put("/v1/assignment", json=assignment.model_dump(mode="json"))).raise_for_status()


async def serving_status(pod: Running) -> ServingStatus:
    return ServingStatus.model_validate((await pod.serving.get("/v1/status")).raise_for_status().json())


async def metric(pod: Running, name: str) -> float:
    text = (await pod.serving.get("/metrics")).text
    found = re.search(rf"^lorapool_runtime_{name} (.*)$", text, re.MULTILINE)
    assert found is not None, name
    return float(found[1])


async def test_it_sleeps_when_it_may_stays_ready_and_wakes_for_a_request(tmp_path: Path) -> None:
    path = write_adapter(tmp_path / "adapters", "pixel")
    timings = StubTimings(wake_milliseconds=300)
    async with started(settings(tmp_path, config(tmp_path / "adapters", timings))) as pod:
        await pod.apply(entry(path))
        await pod.until("default/pixel")
        before = await pod.generate(adapters=[{"key": "default/pixel"}])
        assert not (await serving_status(pod)).asleep
        await told(pod, 0.01)
        await eventually(lambda: pod.runtime.state().sleep.asleep)
        state, status = await pod.state(), await serving_status(pod)
        assert state.sleep.asleep
        assert (status.asleep, status.ready) == (True, True)
        assert (await pod.serving.get("/readyz")).status_code == 200
        assert await metric(pod, "asleep") == 1

        await told(pod, 600)
        after = await pod.generate(adapters=[{"key": "default/pixel"}])
        assert after.status_code == 200
        assert after.json()["images"] == before.json()["images"]
        assert not (await pod.state()).sleep.asleep
        assert await metric(pod, "wakes_total") == 1
        assert await metric(pod, "wake_seconds") == pytest.approx(0.3, abs=0.25)
        assert await metric(pod, "asleep_seconds_total") > 0


async def test_who_may_sleep_no_more_wakes_though_nobody_asks(tmp_path: Path) -> None:
    async with started(settings(tmp_path, config(tmp_path))) as pod:
        await told(pod, 0.01)
        await eventually(lambda: pod.runtime.state().sleep.asleep)
        await told(pod, None)
        await eventually(lambda: not pod.runtime.state().sleep.asleep)


def test_an_assignment_of_an_earlier_operator_lets_it_stay_awake() -> None:
    fields = {"digest": "d", "name": "pod-0", "peers": {}, "holds": []}
    assert Assignment.model_validate(fields).sleep_after_s is None
    assert Assignment.of("pod-0", {}, []).with_sleep(None) == Assignment.of("pod-0", {}, [])
