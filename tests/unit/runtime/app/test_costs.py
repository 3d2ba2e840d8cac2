"""What a pod measures of its work, and how much of it it has."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from tests.unit.runtime.queue.fakes import adapter, recipe

from lorapool_api.kinds.runtime import StubTimings
from lorapool_api.wire.request import Upscaler
from lorapool_api.wire.state import MOST_CALLERS, ServingCosts
from lorapool_runtime.adapters.file import HostAdapter, ScaledAdapter
from lorapool_runtime.app.load.backlog import backlog
from lorapool_runtime.app.load.meter import CostMeter, megapixel_steps
from lorapool_runtime.engine.contract import RenderRequest
from lorapool_runtime.engine.passes import Hires
from lorapool_runtime.engine.result import Applied, Rendering, Unfinished
from lorapool_runtime.engine.stub import StubAdapter, load_stub
from lorapool_runtime.queue.entry import Outcome, QueueEntry, QueueLoad
from lorapool_runtime.queue.fair.shares import DueWork

MEGAPIXEL = replace(recipe("a"), width=1024, height=1024, steps=10)
PIXEL, ROUND = ("default/pixel",), ("default/round",)


def outcome(inference_s: float = 4.0, read_s: float = 0.0, **known: Any) -> Outcome:
    made: dict[str, Any] = {
        "load_s": 0.0,
        "switch_s": 0.0,
        "decode_s": 1.0,
        "prompt_s": 0.5,
        "applied": Applied.UNMERGED,
    }
    return Outcome(Rendering((), inference_s=inference_s, **(made | known)), 0.0, read_s)


def entry(steps: int, name: str | None = None) -> QueueEntry:
    stack = (adapter(name),) if name else ()
    future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    return QueueEntry(RenderRequest(replace(MEGAPIXEL, steps=steps), stack), 0.0, 1.0, future)


def test_a_step_costs_the_same_whatever_the_size_of_its_picture() -> None:
    assert megapixel_steps(MEGAPIXEL) == 10
    assert megapixel_steps(replace(MEGAPIXEL, width=512, images=4)) == 20
    assert megapixel_steps(replace(MEGAPIXEL, hires=Hires(512, 512, Upscaler.PIXEL, 10, 0.5))) == 7.5


def test_costs_are_the_median_of_what_was_measured_by_how_adapters_were_applied() -> None:
    meter = CostMeter()
    for inference_s in (4.0, 100.0, 4.0):
        meter.rendered(MEGAPIXEL, PIXEL, outcome(inference_s, switch_s=0.02))
    meter.rendered(MEGAPIXEL, (), outcome(3.0, applied=Applied.NONE))
    assert meter.costs.step_s == {"unmerged": 0.3, "none": 0.2}
    assert meter.costs.image_s == 1.5
    assert meter.costs.switch_s == {"unmerged": 0.02}


def test_pictures_that_share_forwards_share_their_cost() -> None:
    meter = CostMeter()
    meter.rendered(MEGAPIXEL, PIXEL, outcome(5.0, rows=4))
    assert meter.costs.step_s == {"unmerged": 0.1}


def test_the_way_to_the_device_costs_what_it_took_from_each_tier() -> None:
    meter = CostMeter()
    meter.rendered(MEGAPIXEL, PIXEL, outcome(load_s=0.2, loads=2))
    meter.rendered(MEGAPIXEL, PIXEL, outcome(load_s=0.1, loads=1, read_s=0.5))
    meter.rendered(MEGAPIXEL, PIXEL, outcome(loads=1))
    meter.fetched(7.0)
    assert meter.costs.load_s == {"host": 0.1, "disk": 0.6, "remote": 7.0}


def test_before_a_request_has_waited_for_a_file_a_fetch_costs_the_least_that_one_took() -> None:
    meter = CostMeter()
    meter.file_fetched(3.0)
    known = meter.costs
    meter.file_fetched(8.0)
    assert meter.costs is known
    meter.file_fetched(1.2)
    assert meter.costs.load_s == {"remote": 1.2}
    meter.fetched(4.0)
    meter.file_fetched(0.5)
    assert meter.costs.load_s == {"remote": 4.0}


def test_a_load_costs_others_as_much_as_it_drives_out_of_what_comes_back() -> None:
    evicted = 0
    meter = CostMeter(lambda: evicted)
    for key in ("a", "b"):
        meter.rendered(MEGAPIXEL, (key,), outcome(load_s=0.4, loads=1))
    assert meter.costs.evict_s == 0
    for key in ("a", "b"):
        evicted += 1
        meter.rendered(MEGAPIXEL, (key,), outcome(load_s=0.4, loads=1))
    # Half of four loads drove one out, and half were of one that had been here.
    assert meter.costs.evict_s == pytest.approx(0.5 * 0.5 * 0.4)


async def test_a_pod_that_has_measured_nothing_says_nothing_of_its_work() -> None:
    assert backlog(QueueLoad([entry(10)], [], 0.0, ()), ServingCosts()) is None


async def test_the_work_is_what_runs_less_what_is_done_and_what_waits_with_its_switches() -> None:
    costs = ServingCosts(step_s={"none": 0.2, "unmerged": 0.3}, image_s=0.5, switch_s={"unmerged": 0.25})
    load = QueueLoad([entry(10, "round"), entry(20, "pixel"), entry(10)], [entry(10, "pixel")], 1.5, PIXEL)
    found = backlog(load, costs)
    assert found is not None
    assert (found.active, found.newcomer_s) == (PIXEL, None)
    assert found.work_s == pytest.approx(2.0 + 3.5 + 6.5 + 2.5 + 3 * 0.25)


async def test_a_caller_waits_for_what_runs_and_for_what_is_due_before_it() -> None:
    costs = ServingCosts(step_s={"none": 0.2})
    due = DueWork(2.0, {f"key-{number}": float(number) for number in range(100)})
    found = backlog(QueueLoad([entry(10)], [entry(10)], 0.5, (), due), costs, unlisted=1)
    assert found is not None
    # What runs has 1.5 s left; what waits for its file takes as long as the others.
    assert found.newcomer_s == pytest.approx(2.0 + 1.5 + 2.0)
    assert len(found.callers_s) == MOST_CALLERS
    assert found.callers_s["key-99"] == pytest.approx(99.0 + 1.5 + 2.0)
    assert "key-0" not in found.callers_s


async def test_requests_that_wait_for_files_count_as_the_others_do() -> None:
    costs = ServingCosts(step_s={"none": 0.2})
    found = backlog(QueueLoad([], [entry(10)], 0.0, ()), costs, unlisted=2)
    assert found is not None
    assert found.work_s == pytest.approx(6.0)


def test_a_stub_tells_a_switch_only_where_another_stack_was_active_and_forgets_what_it_has_no_room_for() -> None:
    stub = load_stub("a base", StubTimings(switch_milliseconds=5), sleep=lambda _: None, on_device=2)

    def rendered(name: str) -> Rendering:
        weights: tuple[ScaledAdapter[HostAdapter], ...] = (ScaledAdapter(StubAdapter(name, name, 1), 1.0, name),)
        (made,) = stub.render([RenderRequest(recipe("a"), weights)])
        assert isinstance(made, Unfinished)
        return made.finish()

    assert rendered("a").switch_s > 0
    assert rendered("a").switch_s == 0
    for name in "bc":
        assert rendered(name).switch_s > 0
    assert stub.on_device() == frozenset("bc")
    assert stub.device_evictions == 1
