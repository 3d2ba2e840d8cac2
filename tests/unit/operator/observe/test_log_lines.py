"""Each action of the operator is a line with its reason; doing nothing is none."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests import make
from tests.unit.operator import make as made
from tests.unit.operator.context import LoopClock
from tests.unit.operator.fake_pods import FakePod
from tests.unit.operator.reconcile.operating import Operating
from tests.virtual_time import elapse

from lorapool_operator.reconcile.worker import Workers
from lorapool_operator.seen.resolution import Resolution

pytestmark = pytest.mark.virtual_time


@pytest.fixture
async def it() -> AsyncIterator[Operating]:
    bench = Operating(clock=LoopClock())
    workers = Workers(bench.context)
    bench.listeners.append(workers.wake)
    yield bench
    await workers.stop()


async def serve_one(it: Operating) -> None:
    it.put(made.pool())
    await elapse(1.0)
    it.start_pod(FakePod())
    it.found.outcomes["default/pixel"] = Resolution(rank=8)
    it.put(make.adapter("pixel", metadata={"resourceVersion": "1"}))
    await it.says("Served", "pixel")
    await elapse(5.0)


def events(lines: list[Any]) -> list[str]:
    return [line["event"] for line in lines]


async def test_each_action_on_the_way_to_a_served_adapter_is_a_line_with_its_reason(it: Operating) -> None:
    with capture_logs() as lines:
        await serve_one(it)
    applied = [line for line in lines if line["event"] == "object applied"]
    assert {line["why"] for line in applied} == {"made"}
    assert "Deployment/shapes-runtime" in {line["object"] for line in applied}
    (taken_on,) = (line for line in lines if line["event"] == "adapters taken on")
    assert taken_on["objects"] == ["default/pixel"]
    (catalog,) = (line for line in lines if line["event"] == "catalog for pods")
    assert (catalog["entries"], catalog["pods"]) == (1, 1)
    reasons = [line["reason"] for line in lines if line["event"] == "statuses written" and line["kind"] == "adapter"]
    assert reasons[-1] == "Served"


async def test_ten_minutes_without_anything_to_do_are_no_line(it: Operating) -> None:
    await serve_one(it)
    with capture_logs() as lines:
        await elapse(600.0)
    assert events(lines) == []


async def test_letting_go_is_a_line_too(it: Operating) -> None:
    await serve_one(it)
    with capture_logs() as lines:
        it.delete("pixel")
        await elapse(30.0)
    assert "adapters let go" in events(lines)
