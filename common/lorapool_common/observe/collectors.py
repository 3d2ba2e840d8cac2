"""Metrics that more than one part has, for Prometheus."""

from importlib.metadata import PackageNotFoundError, version
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from lorapool_common.kube.calls.api_call import ApiCall

# Else each counter and each bucket has a second series that says when it was made: Prometheus sees that by itself.
disable_created_metrics()  # type: ignore[no-untyped-call]

_CALL_BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15)


def installed_version() -> str:
    """The version of lorapool that runs."""
    try:
        return version("lorapool")
    except PackageNotFoundError:
        return "unknown"


def add_info(part: str, registry: CollectorRegistry, **labels: str) -> None:
    """`lorapool_<part>_info`: always 1; its labels say what runs."""
    names = {"version": installed_version(), **labels}
    Gauge(f"lorapool_{part}_info", "Always 1; the labels say what runs.", list(names), registry=registry).labels(
        **names
    ).set(1)


class ApiCallMetrics:
    """Counts the calls of the API server that one process makes."""

    def __init__(self, part: str, registry: CollectorRegistry) -> None:
        self._calls = Counter(
            f"lorapool_{part}_api_requests",
            "Calls of the API server, by verb, resource and HTTP status; code `unreachable`: no answer.",
            ["verb", "resource", "code"],
            registry=registry,
        )
        self._seconds = Histogram(
            f"lorapool_{part}_api_request_seconds",
            "How long a call of the API server took; watches are not among them.",
            ["verb", "resource"],
            buckets=_CALL_BUCKETS_S,
            registry=registry,
        )

    def observe(self, call: ApiCall) -> None:
        self._calls.labels(call.verb, call.resource, call.code).inc()
        if call.verb != "watch":
            self._seconds.labels(call.verb, call.resource).observe(call.seconds)
