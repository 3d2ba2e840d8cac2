"""The metrics of a pod, for Prometheus."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from lorapool_api.wire.state import Tier
from lorapool_runtime.queue.entry import Outcome

_BUCKETS_S = (0.005, 0.02, 0.1, 0.3, 1, 3, 10, 30, 100, 300)
_SWITCH_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5)


class Metrics:
    """The metrics of one process, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "lorapool_requests", "Requests for images by outcome.", ["outcome"], registry=self._registry
        )
        self._images = Counter("lorapool_images", "Images made.", registry=self._registry)
        self._queue = self._histogram("queue", "Waiting for the engine.", _BUCKETS_S)
        self._load = self._histogram("load", "Bringing adapters to the device.", _SWITCH_BUCKETS_S)
        self._switch = self._histogram("switch", "Activating adapters.", _SWITCH_BUCKETS_S)
        self._inference = self._histogram("inference", "Making the images of a request.", _BUCKETS_S)
        self._pending = self._gauge("requests_pending", "Requests that wait.")
        self._running = self._gauge("requests_running", "Requests that run.")
        self._warm = self._gauge("base_warm", "1 when the base model is warm.")
        self._cold_start = self._gauge("base_cold_start_seconds", "From the process's start to a warm base.")
        self._rows = Histogram(
            "lorapool_batch_rows", "Pictures in one forward.", buckets=(1, 2, 4, 8, 16, 32), registry=self._registry
        )
        self._applied = Counter(
            "lorapool_renders",
            "Requests that were made, by how their adapters were applied.",
            ["applied"],
            registry=self._registry,
        )
        self._bytes = Gauge(
            "lorapool_adapter_bytes", "Memory that adapters take, by tier.", ["tier"], registry=self._registry
        )
        self._adapters = Gauge(
            "lorapool_adapters", "Adapters that can be served, by tier.", ["tier"], registry=self._registry
        )

    def rendered(self, outcome: Outcome) -> None:
        """Count what the engine made."""
        self._images.inc(len(outcome.rendering.images))
        self._rows.observe(outcome.rendering.rows)
        self._applied.labels(outcome.rendering.applied.value).inc()
        self._queue.observe(outcome.queue_s)
        self._load.observe(outcome.rendering.load_s)
        self._switch.observe(outcome.rendering.switch_s)
        self._inference.observe(outcome.rendering.inference_s)

    def text(
        self,
        *,
        pending: int,
        running: int,
        cold_start_s: float | None,
        adapters: Mapping[Tier, int],
        held_bytes: Mapping[Tier, int],
    ) -> bytes:
        """All metrics, with the state as it is now."""
        self._pending.set(pending)
        self._running.set(running)
        self._warm.set(cold_start_s is not None)
        self._cold_start.set(cold_start_s or 0)
        for tier in Tier:
            self._adapters.labels(tier.value).set(adapters.get(tier, 0))
            self._bytes.labels(tier.value).set(held_bytes.get(tier, 0))
        return generate_latest(self._registry)

    def _histogram(self, what: str, help_: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"lorapool_{what}_seconds", help_, buckets=buckets, registry=self._registry)

    def _gauge(self, what: str, help_: str) -> Gauge:
        return Gauge(f"lorapool_{what}", help_, registry=self._registry)
