"""Metrics of the operator, for Prometheus. docs/metrics.md lists them."""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

from lorapool_common.observe.collectors import ApiCallMetrics, add_info

_PASS_BUCKETS_S: Final = (0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_LOOKUP_BUCKETS_S: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

Clock = Callable[[], float]


class Metrics:
    """All metrics of one operator, in a registry of their own."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        """`clock`: that of the passes."""
        self._clock = clock
        self._registry = registry = CollectorRegistry()
        add_info("operator", registry)
        self.api: Final = ApiCallMetrics("operator", registry)
        self.passes: Final = _counter(
            registry, "passes", "Passes over a pool, by how they ended: ok, failed.", "result"
        )
        self.pass_seconds: Final = _histogram(
            registry, "pass_seconds", "How long a pass over a pool takes.", _PASS_BUCKETS_S
        )
        self._stages = _histogram(
            registry, "pass_stage_seconds", "How long each stage of a pass takes.", _PASS_BUCKETS_S, "stage"
        )
        self.writes: Final = _counter(
            registry, "writes", "Objects that were written: apply, deletion_cost, finalizer, scale, status.", "what"
        )
        self._adapters = _gauge(
            registry, "adapters", "Adapters, by the reason that their status gives in one word.", "pool", "reason"
        )
        self._pods = _gauge(registry, "pods", "Pods, by state: pending, loading, warm, ready, failed.", "pool", "state")
        self.leader: Final = _gauge(registry, "leader", "1 while this replica leads.")
        self._catalog_lag = _gauge(
            registry,
            "catalog_lag_seconds",
            "For how long some pod that answers has had another catalog than it shall have; 0: none has.",
            "pool",
        )
        self.lookups: Final = _counter(
            registry,
            "source_lookups",
            "Looks at sources of adapters, by kind of source and result: ok, a reason, or unanswered.",
            "source",
            "result",
        )
        self.lookup_seconds: Final = _histogram(
            registry, "source_lookup_seconds", "How long a look at a source takes.", _LOOKUP_BUCKETS_S, "source"
        )
        self._desired_replicas = _gauge(
            registry, "desired_replicas", "Pods that a pool with spec.scaling shall have.", "pool"
        )
        self._demand = _gauge(
            registry,
            "demand_requests",
            "Requests for a pool with spec.scaling that its gateways and pods know of.",
            "pool",
        )
        self._demand_unknown = _gauge(
            registry,
            "demand_unknown",
            "1 while some gateway does not say how many requests it has for a pool with spec.scaling; 0: all do.",
            "pool",
        )
        self.gpus: Final = GpuTime(registry, clock)
        self._behind_since_s: dict[str, float] = {}

    def text(self) -> bytes:
        """All of it, as of now."""
        now_s = self._clock()
        for pool, since_s in self._behind_since_s.items():
            self._catalog_lag.labels(pool).set(max(0.0, now_s - since_s))
        self.gpus.advance()
        return generate_latest(self._registry)

    def pass_stage(self, stage: str) -> AbstractContextManager[object]:
        """Time a stage of a pass."""
        return self._stages.labels(stage).time()

    def set_adapters(self, pool: str, by_reason: Mapping[str, int]) -> None:
        """Replace a pool's figures; reasons that nobody has any more vanish."""
        self._adapters.remove_by_labels({"pool": pool})
        for reason, count in by_reason.items():
            self._adapters.labels(pool, reason).set(count)

    def set_pods(self, pool: str, by_state: Mapping[str, int]) -> None:
        for state, count in by_state.items():
            self._pods.labels(pool, state).set(count)

    def set_behind(self, pool: str, since_s: float | None) -> None:
        """Since when, on the clock, some pod has another catalog than it shall have; None: none has."""
        self._catalog_lag.labels(pool).set(0)
        if since_s is None:
            self._behind_since_s.pop(pool, None)
        else:
            self._behind_since_s[pool] = since_s

    def set_scaling(self, pool: str, replicas: int, requests: int, is_complete: bool) -> None:
        """`is_complete`: every gateway has said how many requests it has."""
        self._desired_replicas.labels(pool).set(replicas)
        self._demand.labels(pool).set(requests)
        self._demand_unknown.labels(pool).set(not is_complete)

    def forget_scaling(self, pool: str) -> None:
        """The pool has no spec.scaling any more."""
        for gauge in (self._desired_replicas, self._demand, self._demand_unknown):
            gauge.remove_by_labels({"pool": pool})

    def forget(self, pool: str) -> None:
        """The pool is gone, or another replica's now. What was counted stays."""
        self._behind_since_s.pop(pool, None)
        self.gpus.set(pool, 0, 0)
        for gauge in (self._adapters, self._pods, self._catalog_lag):
            gauge.remove_by_labels({"pool": pool})


class GpuTime:
    """GPU-seconds that pools use, and that a Deployment of its own for each served adapter would use.

    Rates are set by passes; time passes between them too, so it is added up whenever somebody looks.
    """

    def __init__(self, registry: CollectorRegistry, clock: Clock) -> None:
        self._clock = clock
        self._used = _counter(registry, "gpu_seconds", "GPU-seconds that the pods of a pool have held.", "pool")
        self._dedicated = _counter(
            registry,
            "dedicated_gpu_seconds",
            "GPU-seconds that one Deployment of one replica for each served adapter would have held.",
            "pool",
        )
        self._rates: dict[str, tuple[int, int]] = {}
        self._at_s = clock()

    def set(self, pool: str, used: int, dedicated: int) -> None:
        """From now on the pool's pods hold so many GPUs, and Deployments for its adapters would hold so many."""
        self.advance()
        if used or dedicated or pool in self._rates:
            self._rates[pool] = used, dedicated
            self._used.labels(pool)
            self._dedicated.labels(pool)

    def advance(self) -> None:
        """Add the time since the last call."""
        now_s = self._clock()
        passed_s, self._at_s = now_s - self._at_s, now_s
        for pool, (used, dedicated) in self._rates.items():
            self._used.labels(pool).inc(used * passed_s)
            self._dedicated.labels(pool).inc(dedicated * passed_s)


def _counter(registry: CollectorRegistry, name: str, help_: str, *labels: str) -> Counter:
    return Counter(f"lorapool_operator_{name}", help_, labels, registry=registry)


def _gauge(registry: CollectorRegistry, name: str, help_: str, *labels: str) -> Gauge:
    return Gauge(f"lorapool_operator_{name}", help_, labels, registry=registry)


def _histogram(
    registry: CollectorRegistry, name: str, help_: str, buckets: tuple[float, ...], *labels: str
) -> Histogram:
    return Histogram(f"lorapool_operator_{name}", help_, labels, buckets=buckets, registry=registry)
