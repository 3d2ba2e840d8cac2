"""What the gateway counts, for Prometheus. docs/metrics.md lists it."""

from collections.abc import Callable, Iterable
from functools import cache, lru_cache
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from lorapool_api.names import split_full_name
from lorapool_common.observe.collectors import ApiCallMetrics, add_info
from lorapool_common.observe.times import TimesByLabels

MOST_KEY_NAMES: Final = 100
OTHER_KEYS: Final = "(others)"
_SERIES_KEPT: Final = 1024
_AGES_S = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
_BUCKETS_S = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)


class InProgress:
    """Counts what there is of something while it lasts; its gauge looks here. Prometheus' own takes a dozen calls.

    Attributes:
        count: how many there are now.
    """

    def __init__(self, gauge: Gauge) -> None:
        self.count = 0
        gauge.set_function(lambda: self.count)

    def __enter__(self) -> None:
        self.count += 1

    def __exit__(self, *_: object) -> None:
        self.count -= 1


class KeptMetrics:
    """What the gateway keeps, and the requests in the background."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        registry = registry or CollectorRegistry()
        self._accepted = Counter(
            "lorapool_gateway_background_accepted", "Requests that were taken into the background.", registry=registry
        )
        self._ended = Counter(
            "lorapool_gateway_background_requests",
            "Requests for the background, by how they ended: refused at once, succeeded, failed, cancelled.",
            ["outcome"],
            registry=registry,
        )
        self._dropped = Counter(
            "lorapool_gateway_kept_dropped",
            "Answers and pictures that are kept no longer: expired, for room, deleted, or too large to be kept.",
            ["cause"],
            registry=registry,
        )
        self._running = Gauge(
            "lorapool_gateway_background_running_requests",
            "Requests in the background that have no answer yet.",
            registry=registry,
        )
        self._answers = Gauge(
            "lorapool_gateway_kept_answers",
            "Answers to requests in the background, and pictures with an address, that are kept.",
            registry=registry,
        )
        self._bytes = Gauge("lorapool_gateway_kept_bytes", "Memory that they take.", registry=registry)

    def accepted(self) -> None:
        """A request is taken."""
        self._accepted.inc()

    def ended(self, outcome: str) -> None:
        """One has ended so, or was not taken."""
        self._ended.labels(outcome).inc()

    def dropped(self, cause: str) -> None:
        """An answer or a picture is not kept, or no longer."""
        self._dropped.labels(cause).inc()

    def watch(self, running: Callable[[], int], answers: Callable[[], int], size_bytes: Callable[[], int]) -> None:
        """Read these whenever somebody looks."""
        self._running.set_function(running)
        self._answers.set_function(answers)
        self._bytes.set_function(size_bytes)


class Metrics:
    """The gateway's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        add_info("gateway", self._registry)
        self.api = ApiCallMetrics("gateway", self._registry)
        self._requests = Counter(
            "lorapool_gateway_requests",
            "Requests for images that were answered.",
            ["dialect", "pool", "outcome"],
            registry=self._registry,
        )
        self._images = Counter(
            "lorapool_gateway_images",
            "Images that were asked for, by how their requests were answered.",
            ["pool", "outcome"],
            registry=self._registry,
        )
        self._key_requests = Counter(
            "lorapool_gateway_key_requests",
            "Requests for images that were answered, by the name of their API key.",
            ["key", "outcome"],
            registry=self._registry,
        )
        self._key_images = Counter(
            "lorapool_gateway_key_images",
            "Images that were asked for, by the name of the API key.",
            ["key", "outcome"],
            registry=self._registry,
        )
        self._keys: set[str] = set()
        self._waiting = Gauge(
            "lorapool_gateway_waiting_requests",
            "Requests that are held until a pod or an adapter is ready.",
            ["pool"],
            registry=self._registry,
        )
        self._in_flight = Gauge(
            "lorapool_gateway_running_requests", "Requests that a pod has.", ["pool"], registry=self._registry
        )
        self._demand = Gauge(
            "lorapool_gateway_demand_requests",
            "Requests that want the pool's pods: a pod has them, or none is ready for them.",
            # Apart too: a selector of a HorizontalPodAutoscaler takes no value with a slash.
            ["pool", "pool_namespace", "pool_name"],
            registry=self._registry,
        )
        self._retries = Counter(
            "lorapool_gateway_retries",
            "Requests that were given to another pod, or again to the same.",
            ["pool", "cause"],
            registry=self._registry,
        )
        self._stages = TimesByLabels(
            "lorapool_gateway_stage_seconds",
            "Where the time of a request went.",
            ["pool", "stage"],
            _BUCKETS_S,
            registry=self._registry,
        )
        self.kept = KeptMetrics(self._registry)
        self._ages = TimesByLabels(
            "lorapool_gateway_status_age_seconds",
            "How old what was known of a pod was when a request was sent there; up to 0.1 it was fresh.",
            ["pool"],
            _AGES_S,
            registry=self._registry,
        )
        self._gateways = Gauge(
            "lorapool_gateway_sharing_gateways",
            "Gateways that share what API keys may ask for, this one included.",
            registry=self._registry,
        )
        # A look-up by labels takes longer than to count.
        # These count themselves, so one of each pool is all that there may be.
        self._held = cache(lambda pool: InProgress(self._waiting.labels(pool)))
        self._has_pod = cache(lambda pool: InProgress(self._in_flight.labels(pool)))
        self._wants_pod = cache(lambda pool: InProgress(self._demand.labels(pool, *split_full_name(pool))))
        self._answered = lru_cache(_SERIES_KEPT)(self._requests.labels)
        self._asked_for = lru_cache(_SERIES_KEPT)(self._images.labels)

    def share_among(self, gateways: Callable[[], int]) -> None:
        """Tell how many gateways share the budgets of keys, asked for when metrics are."""
        self._gateways.set_function(gateways)

    def answered(self, dialect: str, pool: str, outcome: str, images: int = 1) -> None:
        """Count a request that has ended so, and the images that it asked for."""
        self._answered(dialect, pool, outcome).inc()
        self._asked_for(pool, outcome).inc(images)

    def answered_key(self, name: str, outcome: str, images: int) -> None:
        """The same by the key. Beyond so many names the others share one series: no Secret fills a Prometheus."""
        if name not in self._keys and len(self._keys) < MOST_KEY_NAMES:
            self._keys.add(name)
        label = name if name in self._keys else OTHER_KEYS
        self._key_requests.labels(label, outcome).inc()
        self._key_images.labels(label, outcome).inc(images)

    def retried(self, pool: str, cause: str) -> None:
        self._retries.labels(pool, cause).inc()

    def sent(self, pool: str, age_s: float) -> None:
        """A request goes to a pod of which that old a status is known."""
        self._ages.observe((((pool,), age_s),))

    def took(self, pool: str, stages: Iterable[tuple[str, float]]) -> None:
        """A request took so many seconds in each of its stages."""
        self._stages.observe([((pool, stage), seconds) for stage, seconds in stages])

    def waiting(self, pool: str) -> InProgress:
        """Counts a request as held while it lasts."""
        return self._held(pool)

    def running(self, pool: str) -> InProgress:
        """Counts a request as running while it lasts."""
        return self._has_pod(pool)

    def demand(self, pool: str) -> InProgress:
        """Counts a request as one that wants a pod while it lasts."""
        return self._wants_pod(pool)

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry)
