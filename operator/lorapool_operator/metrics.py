"""Metrics for Prometheus."""

from collections.abc import Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest


class Metrics:
    """All metrics of one operator, in a registry of their own."""

    def __init__(self) -> None:
        self.registry: Final = CollectorRegistry()
        self.passes: Final = Counter(
            "lorapool_operator_passes_total", "Passes over a pool", ["result"], registry=self.registry
        )
        self.pass_seconds: Final = Histogram(
            "lorapool_operator_pass_seconds",
            "How long a pass over a pool takes",
            buckets=(0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
            registry=self.registry,
        )
        self.writes: Final = Counter(
            "lorapool_operator_writes_total", "Writes to the API server", ["what"], registry=self.registry
        )
        self.adapters: Final = Gauge(
            "lorapool_operator_adapters",
            "Adapters by pool and the reason of their first condition that is not true",
            ["pool", "reason"],
            registry=self.registry,
        )
        self.pods: Final = Gauge(
            "lorapool_operator_pods", "Runtime pods by state", ["pool", "state"], registry=self.registry
        )
        self.leader: Final = Gauge("lorapool_operator_leader", "Whether this replica leads", registry=self.registry)

    def text(self) -> bytes:
        return generate_latest(self.registry)

    def set_adapters(self, pool: str, by_reason: Mapping[str, int]) -> None:
        """Replace a pool's figures; reasons that nobody has any more vanish."""
        self.adapters.remove_by_labels({"pool": pool})
        for reason, count in by_reason.items():
            self.adapters.labels(pool, reason).set(count)

    def set_pods(self, pool: str, by_state: Mapping[str, int]) -> None:
        for state, count in by_state.items():
            self.pods.labels(pool, state).set(count)

    def forget(self, pool: str) -> None:
        self.adapters.remove_by_labels({"pool": pool})
        self.pods.remove_by_labels({"pool": pool})
