"""The metrics of a pod, for Prometheus. docs/metrics.md lists them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from lorapool_api.wire.config import RuntimeConfig
from lorapool_api.wire.state import BaseState, Tier
from lorapool_common.observe.collectors import add_info
from lorapool_runtime.engine.compile_figures import CompileFigures
from lorapool_runtime.queue.entry import Outcome
from lorapool_runtime.queue.sleep.sleeper import SleepFigures

_BUCKETS_S: Final = (0.001, 0.005, 0.02, 0.1, 0.3, 1, 3, 10, 30, 100, 300)
_SWITCH_BUCKETS_S: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5)
_PREFIX: Final = "lorapool_runtime_"


@dataclass(frozen=True)
class PodFigures:
    """What is read when somebody looks."""

    pending: int
    running: int
    busy_s: float
    base: BaseState
    start_s: Mapping[str, float]
    adapters: Mapping[Tier, int]
    held_bytes: Mapping[Tier, int]
    evictions: Mapping[Tier, int]
    compiled: CompileFigures
    sleep: SleepFigures


class Metrics:
    """The metrics of one process, in a registry of their own."""

    def __init__(self, config: RuntimeConfig, read: Callable[[], PodFigures]) -> None:
        """`read` is called when somebody looks."""
        self._registry = registry = CollectorRegistry()
        add_info("runtime", registry, pool=config.pool, engine=config.engine.value, device=config.device.value)
        self.requests: Final = self._counter("requests", "Requests for images, by how they ended.", "outcome")
        self._images = self._counter("images", "Images that were made.")
        self._renders = self._counter(
            "renders", "Requests that were made, by how their adapters were applied: none, unmerged, ...", "applied"
        )
        self._stages = self._histogram(
            "stage_seconds", "Where the time of a request that was made went.", _BUCKETS_S, "stage"
        )
        self._switches = self._histogram(
            "switch_seconds",
            "From weights in a tier (the farthest of the stack) to active adapters: reading, loading, switching.",
            _SWITCH_BUCKETS_S,
            "tier",
        )
        self._named = self._counter(
            "adapter_uses", "Adapters that requests named, by the tier where their weights were just then.", "tier"
        )
        self._checks = self._counter(
            "checks", "Pictures that the pool's checker was asked about, by its verdict.", "outcome"
        )
        self._rows = self._histogram("batch_rows", "Pictures in one forward.", (1, 2, 4, 8, 16, 32))
        registry.register(_Figures(read))

    def named(self, tier: Tier) -> None:
        """A request has named an adapter whose weights are there."""
        self._named.labels(tier.value).inc()

    def rendered(self, outcome: Outcome) -> None:
        """Count what the engine made."""
        rendering = outcome.rendering
        self._images.inc(len(rendering.images))
        self._rows.observe(rendering.rows)
        self._renders.labels(rendering.applied.value).inc()
        for stage, seconds in _stages(outcome):
            self._stages.labels(stage).observe(seconds)
        if outcome.tier is not None:
            taken_s = outcome.read_s + rendering.load_s + rendering.switch_s
            self._switches.labels(outcome.tier.value).observe(taken_s)

    def encoded(self, seconds: float) -> None:
        """A request's images were encoded within that time."""
        self._stages.labels("encode").observe(seconds)

    def checked(self, verdict: str) -> None:
        """The pool's checker was asked about a picture."""
        self._checks.labels(verdict).inc()

    def text(self) -> bytes:
        """All of it, as of now."""
        return generate_latest(self._registry)

    def _counter(self, name: str, help_: str, *labels: str) -> Counter:
        return Counter(f"{_PREFIX}{name}", help_, labels, registry=self._registry)

    def _histogram(self, name: str, help_: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"{_PREFIX}{name}", help_, labels, buckets=buckets, registry=self._registry)


def _stages(outcome: Outcome) -> tuple[tuple[str, float], ...]:
    rendering = outcome.rendering
    return (
        ("queue", outcome.queue_s),
        ("load", rendering.load_s),
        ("switch", rendering.switch_s),
        ("prompt", rendering.prompt_s),
        ("steps", max(0.0, rendering.inference_s - rendering.decode_s)),
        ("decode", rendering.decode_s),
    )


class _Figures(Collector):
    """Metrics of what is read when somebody looks."""

    def __init__(self, read: Callable[[], PodFigures]) -> None:
        self._read = read

    def describe(self) -> Iterator[Metric]:
        """Nothing: the names are not needed to register, and nothing can be read yet."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        now = self._read()
        yield _gauge("requests_pending", "Requests that wait, also for files.", now.pending)
        yield _gauge("requests_running", "Requests that are being made.", now.running)
        yield CounterMetricFamily(
            f"{_PREFIX}busy_seconds", "Seconds that the engine has worked on requests.", now.busy_s
        )
        yield _gauge("base_warm", "1 while the base model is warm.", float(now.base.cold_start_s is not None))
        yield _gauge(
            "cold_start_seconds", "From the process's start to a warm base; 0: not yet.", now.base.cold_start_s or 0
        )
        yield _by_label(
            "cold_start_stage_seconds",
            "What each stage from the process's start to its first image took, of those that are over.",
            "stage",
            now.start_s,
        )
        tiers = (Tier.DEVICE, Tier.HOST, Tier.DISK)
        adapters = {tier.value: now.adapters.get(tier, 0) for tier in Tier}
        yield _by_label("adapters", "Adapters that can be served, by the tier of their weights.", "tier", adapters)
        held = {tier.value: size for tier, size in now.held_bytes.items()}
        yield _by_label("adapter_bytes", "Memory that adapters take, by tier.", "tier", held)
        evictions = CounterMetricFamily(
            f"{_PREFIX}evictions", "Adapters that left a tier because others needed the room.", labels=["tier"]
        )
        for tier in tiers:
            evictions.add_metric([tier.value], now.evictions.get(tier, 0))
        yield evictions
        yield from _of_sleep(now.sleep)
        compiled = now.compiled
        yield _gauge("compiled_graphs", "Graphs of the denoiser that are there, one for each shape.", compiled.graphs)
        yield CounterMetricFamily(
            f"{_PREFIX}graph_misses",
            "Forwards that ran eagerly though a graph was there for their shape: each a recompilation, were it made.",
            compiled.misses,
        )
        yield CounterMetricFamily(
            f"{_PREFIX}eager_batches",
            "Batches of a denoiser to be compiled that ran without a graph.",
            compiled.eager_runs,
        )


def _of_sleep(sleep: SleepFigures) -> Iterator[Metric]:
    yield _gauge("asleep", "1 while the base waits in host memory, until a request comes.", float(sleep.is_asleep))
    yield CounterMetricFamily(f"{_PREFIX}asleep_seconds", "Seconds that the base was in host memory.", sleep.asleep_s)
    yield CounterMetricFamily(f"{_PREFIX}wakes", "How often the base came back to the device.", sleep.wakes)
    yield _gauge("wake_seconds", "What the last of it took; 0: there was none.", sleep.last_wake_s or 0)


def _gauge(name: str, help_: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{_PREFIX}{name}", help_, value)


def _by_label(name: str, help_: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"{_PREFIX}{name}", help_, labels=[label])
    for value, figure in values.items():
        family.add_metric([value], figure)
    return family
