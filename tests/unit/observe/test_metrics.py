"""Metrics have Prometheus' conventions, and docs/metrics.md lists each of them."""

import re

import pytest
from tests.unit.helpers.sources import ROOT
from tests.unit.observe import expositions
from tests.unit.observe.expositions import EXPOSITIONS, POOL, HandClock, exposed, value

from lorapool_operator.metrics import Metrics

# Of base units: https://prometheus.io/docs/practices/naming/
WRONG_UNITS = re.compile(r"_(ms|millis\w*|minutes|hours|percent|mb|kb|mib|gib)(_|$)")
# Each of them has few values, whatever users do: none is named after an adapter, a request or a caller.
LABELS = {
    *("version", "pool", "pool_namespace", "pool_name", "engine", "key", "device", "dialect"),
    *("verb", "resource", "code", "result", "outcome", "reason", "cause", "what", "source"),
    *("stage", "state", "tier", "applied"),
}


@pytest.mark.parametrize("part", EXPOSITIONS)
def test_names_units_and_labels_are_as_prometheus_has_them(part: str) -> None:
    for metric in exposed(EXPOSITIONS[part]()):
        assert metric.name.startswith(f"lorapool_{part}_"), metric
        assert not WRONG_UNITS.search(metric.name), metric
        assert set(metric.labels) <= LABELS, metric
        assert metric.kind in ("counter", "gauge", "histogram"), metric
        assert metric.help.endswith("."), metric
        if metric.kind == "histogram":
            assert metric.name.endswith(("_seconds", "_rows")), metric


def test_no_series_says_only_when_it_was_made() -> None:
    assert not [line for text in EXPOSITIONS.values() for line in text().splitlines() if "_created" in line]


@pytest.mark.parametrize("part", EXPOSITIONS)
def test_the_page_lists_each_metric_as_it_is(part: str) -> None:
    _, _, section = (ROOT / "docs" / "metrics.md").read_text("utf-8").partition(f"\n## {part.capitalize()}\n")
    rows = [line for line in section.partition("\n## ")[0].splitlines() if line.startswith("| `lorapool_")]
    assert rows == [metric.row for metric in exposed(EXPOSITIONS[part]())]


def test_gpu_time_is_counted_between_passes_too_beside_one_deployment_for_each_adapter() -> None:
    clock = HandClock()
    metrics = Metrics(clock)
    metrics.gpus.set(POOL, 1, 130)
    clock.now_s += 3600
    text = metrics.text().decode()
    assert value(text, "lorapool_operator_gpu_seconds_total", pool=POOL) == 3600
    assert value(text, "lorapool_operator_dedicated_gpu_seconds_total", pool=POOL) == 130 * 3600
    metrics.gpus.set(POOL, 2, 130)
    clock.now_s += 100
    assert value(metrics.text().decode(), "lorapool_operator_gpu_seconds_total", pool=POOL) == 3800
    metrics.forget(POOL)
    clock.now_s += 100
    assert value(metrics.text().decode(), "lorapool_operator_gpu_seconds_total", pool=POOL) == 3800


def test_a_catalog_that_a_pod_lacks_grows_older_while_nothing_happens() -> None:
    clock = HandClock()
    metrics = Metrics(clock)
    metrics.set_behind(POOL, clock())
    clock.now_s += 7
    assert value(metrics.text().decode(), "lorapool_operator_catalog_lag_seconds", pool=POOL) == 7
    metrics.set_behind(POOL, None)
    assert value(metrics.text().decode(), "lorapool_operator_catalog_lag_seconds", pool=POOL) == 0


def test_a_switch_counts_from_the_farthest_tier_and_with_what_reading_took() -> None:
    text = expositions.runtime()
    assert value(text, "lorapool_runtime_switch_seconds_sum", tier="disk") == pytest.approx(0.6)
    assert value(text, "lorapool_runtime_stage_seconds_sum", stage="steps") == pytest.approx(2.0)
    assert value(text, "lorapool_runtime_stage_seconds_sum", stage="decode") == pytest.approx(1.0)
    assert value(text, "lorapool_runtime_evictions_total", tier="host") == 4
