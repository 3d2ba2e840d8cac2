"""Histograms that cost little say what Prometheus' own do."""

from prometheus_client import CollectorRegistry, Histogram, disable_created_metrics, generate_latest

from lorapool_common.observe.times import TimesByLabels

LABELS = ("pool", "stage")
BOUNDS_S = (0.01, 0.5, 1, 30)
ROWS = (
    (("a/b", "wait"), 0.0),
    (("a/b", "wait"), 0.01),
    (("a/b", "total"), 0.5000001),
    (('c/"d', "total"), 31.0),
    (("a/b", "total"), float("inf")),
)


def test_all_is_said_as_by_the_histogram_of_prometheus() -> None:
    disable_created_metrics()  # type: ignore[no-untyped-call] # as all parts do
    own, others = CollectorRegistry(), CollectorRegistry()
    times = TimesByLabels("seconds", "Where they went.", LABELS, BOUNDS_S, own)
    histogram = Histogram("seconds", "Where they went.", LABELS, buckets=BOUNDS_S, registry=others)
    assert generate_latest(own) == generate_latest(others)
    for values, seconds in ROWS:
        times.observe([(values, seconds)])
        histogram.labels(*values).observe(seconds)
    assert generate_latest(own) == generate_latest(others)
    times.observe(ROWS)
    for values, seconds in ROWS:
        histogram.labels(*values).observe(seconds)
    assert generate_latest(own) == generate_latest(others)
