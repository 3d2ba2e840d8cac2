"""A trace through gateways and pods that are processes."""

from pathlib import Path

import pytest

from lorapool_bench.measure.result import write
from lorapool_bench.routing import choices
from lorapool_bench.routing.costs import INFERENCE_S
from lorapool_bench.routing.figures import one_queue, slower, way_run
from lorapool_bench.routing.real import page, plot
from lorapool_bench.routing.real.bench import run
from lorapool_bench.routing.simulation import RoutedRequest, on_disks
from lorapool_bench.routing.trace import TracedRequest, keys

KEY = "default/adapter-1"


def test_what_is_played_takes_as_long_as_inference_and_switches_are_seen(tmp_path: Path) -> None:
    trace = [TracedRequest(2.0 * number, key) for number, key in enumerate([*keys()[:4], *keys()[:4]])]
    result = run(trace, pods=2, speed=20.0, ways=[choices.LEAST], seconds=0.7, idle_s=0.5)
    (one,) = result.runs
    assert (one.failed, one.played.refused, one.simulated.refused) == (0, 0, 0)
    # The stub waits in whole milliseconds for each step.
    assert one.played.p50_s > 0.95 * INFERENCE_S
    assert 0 < one.played.switches <= len(trace)
    assert result.stream.line.pod_s > 0
    assert 0 < one.fresh <= 1
    write(result, tmp_path, page.NAME)
    assert plot.draw(result, tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert f"{result.requests} requests" in page.section(tmp_path, {})


def test_without_a_result_the_page_names_the_command(tmp_path: Path) -> None:
    assert "make bench-routing-real" in page.section(tmp_path, {})


def test_one_queue_gives_each_request_to_the_pod_that_is_free_first() -> None:
    trace = [TracedRequest(0.0, KEY), TracedRequest(1.0, KEY), TracedRequest(2.0, KEY)]
    assert one_queue(trace, 1, inference_s=10.0) == [10.0, 19.0, 28.0]
    assert one_queue(trace, 2, inference_s=10.0) == [10.0, 10.0, 18.0]


def test_what_was_played_faster_is_told_in_the_time_of_the_trace() -> None:
    (told,) = slower([RoutedRequest(0.1, 0.01, is_switch=True, total_s=0.95)], 10.0)
    assert (told.wait_s, told.switching_s, told.total_s, told.is_switch) == pytest.approx((1.0, 0.1, 9.5, True))
    assert way_run("a way", [told, told], refused=3).mean_share == pytest.approx(0.1 / INFERENCE_S)


def test_each_adapter_is_on_the_disks_of_two_pods_and_pods_share_them() -> None:
    held = on_disks(4)
    assert sum(map(len, held.values())) == 2 * len(keys())
    assert min(map(len, held.values())) > len(keys()) / 4
