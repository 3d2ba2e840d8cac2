"""The simulated pool of the bench of the gateway's choice."""

import sys
from pathlib import Path

import pytest

from lorapool_api.wire.state import Tier
from lorapool_bench.measure.result import RESULTS
from lorapool_bench.page import page
from lorapool_bench.routing import bench, choices
from lorapool_bench.routing.costs import EngineSeconds
from lorapool_bench.routing.pod import as_the_runtime
from lorapool_bench.routing.simulation import RoutingSimulation
from lorapool_bench.routing.trace import TracedRequest, bursts, of_base

COSTS = EngineSeconds(
    switch_s=0.5, load_s={Tier.DEVICE: 0, Tier.HOST: 0.25, Tier.DISK: 1.25, Tier.REMOTE: 9.25}, inference_s=8.0
)
HOT, COLD = "default/adapter-1", "default/adapter-2"


def simulated(pods: int, trace: list[TracedRequest], choose: choices.Choose = choices.by_cost) -> RoutingSimulation:
    made = RoutingSimulation(pods, COSTS, as_the_runtime, choose)
    made.run(trace)
    return made


def test_a_request_waits_for_its_file_and_then_pays_for_the_load_and_the_switch() -> None:
    (one,) = simulated(1, [TracedRequest(0.01, HOT)]).served
    # It is read before its turn; the copy to the device was made while it waited for that.
    assert (one.wait_s, one.switching_s, one.total_s) == pytest.approx((1.0, 0.5, 9.5))


def test_the_same_adapter_again_costs_nothing() -> None:
    made = simulated(1, [TracedRequest(0.01, HOT), TracedRequest(60.0, HOT)])
    assert (made.served[1].switching_s, made.served[1].wait_s) == (0, 0)


def test_a_hot_adapter_spreads_to_a_pod_that_has_no_file_of_it_and_a_cold_one_stays() -> None:
    burst = [TracedRequest(0.01 + number, HOT) for number in range(8)]
    made = simulated(4, burst)
    assert max(s.total_s for s in made.served) < 30
    calm = [TracedRequest(100.0 * number + 0.01, (HOT, COLD)[number % 2]) for number in range(8)]
    assert sum(s.is_switch for s in simulated(4, calm).served) == 2


def test_two_gateways_do_not_both_take_the_same_pod_for_idle_within_a_tick() -> None:
    one, other = simulated(2, [TracedRequest(1.031, HOT), TracedRequest(1.04, HOT)]).served
    assert (one.total_s, other.total_s) == pytest.approx((9.5, 9.5))


def test_costs_wait_less_than_hashing_and_switch_less_than_the_shortest_queue() -> None:
    trace = bursts(0.5 * 5 / 8.0, 3600, seed=3)
    ours, sticky, least = (simulated(5, trace, way) for way in (choices.by_cost, choices.by_hash, choices.by_load))
    assert sum(s.total_s for s in ours.served) < 0.8 * sum(s.total_s for s in sticky.served)
    assert sum(s.is_switch for s in ours.served) < sum(s.is_switch for s in least.served)
    assert len(ours.served) == len(least.served) == len(trace)


def test_of_the_requests_that_share_is_for_one_base() -> None:
    trace = bursts(0.15, 100_000, seed=1)
    assert len(of_base(trace, 0.92, seed=1)) / len(trace) == pytest.approx(0.92, abs=0.01)


def test_a_deployment_per_adapter_is_on_while_it_is_wanted_and_for_its_idle_time() -> None:
    hours = bench.gpu_hours(
        [TracedRequest(0.0, HOT), TracedRequest(60.0, HOT), TracedRequest(7200.0, HOT), TracedRequest(0.0, COLD)], 6.0
    )
    on_s = (60 + 8.5 + 900 + 25) + (8.5 + 900 + 25) * 2
    assert hours.each_idle == pytest.approx(on_s / 3600)


def test_the_choice_is_simulated_drawn_and_on_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ["routing", "--hours", "0.1", "--article-hours", "0.2", "--costs", str(RESULTS), "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", options)
    bench.main()
    assert (tmp_path / "routing.png").read_bytes().startswith(b"\x89PNG")
    assert "sticky hashing" in page(tmp_path)
