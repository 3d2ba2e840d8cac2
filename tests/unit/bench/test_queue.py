"""The simulated pod of the queue's bench."""

import sys
from collections import Counter
from pathlib import Path

import pytest

from lorapool_bench.page import page
from lorapool_bench.queue import bench as queue_trace
from lorapool_bench.queue.simulator import MAX_PENDING, Arrival, Policy, first_come, lorapool, simulate, trace


def arrivals(adapters: str, every_s: float = 0.0) -> list[Arrival]:
    return [Arrival(i * every_s, name) for i, name in enumerate(adapters)]


def test_first_come_is_served_in_order_and_pays_for_each_switch() -> None:
    served = simulate(arrivals("aab"), Policy("", first_come, 3.0), inference_s=1.0)
    assert served.switches == 2
    assert served.waits_s == pytest.approx((3.0, 4.0, 8.0))


def test_the_runtime_s_order_goes_on_with_what_is_in_force() -> None:
    both = [simulate(arrivals("abab"), Policy("", order, 1.0), 0.1).switches for order in (first_come, lorapool)]
    assert both == [4, 2]


def test_a_pod_that_waits_for_the_next_request_owes_nobody_anything() -> None:
    served = simulate(arrivals("aa", every_s=100.0), Policy("", lorapool, 3.0), inference_s=1.0)
    assert served.waits_s == pytest.approx((3.0, 0.0))


def test_who_comes_to_a_full_queue_is_refused() -> None:
    served = simulate(arrivals("a" * (MAX_PENDING + 5)), Policy("", first_come, 0.0), inference_s=1.0)
    assert served.refused == 5
    assert len(served.waits_s) == MAX_PENDING


def test_a_trace_has_the_rate_and_the_favourites_that_were_asked_for() -> None:
    found = trace(rate=0.5, duration_s=200_000, adapters=130, seed=0)
    assert len(found) / 200_000 == pytest.approx(0.5, rel=0.1)
    assert [a.arrived_s for a in found] == sorted(a.arrived_s for a in found)
    counts = Counter(a.adapter for a in found)
    assert len(counts) == 130
    assert counts["adapter-1"] / counts["adapter-10"] == pytest.approx(10, rel=0.2)
    assert trace(0.5, 1000, 130, seed=0) != trace(0.5, 1000, 130, seed=1)


def test_the_queue_is_simulated_drawn_and_on_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ["queue", "--hours", "0.5", "--traces", "1", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", options)
    queue_trace.main()
    assert (tmp_path / "queue.png").read_bytes().startswith(b"\x89PNG")
    assert "lorapool's order and switches" in page(tmp_path)
