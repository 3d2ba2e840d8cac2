"""Seconds as Prometheus has them in a histogram, counted at a quarter of the cost of its own: a request has nine."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from math import inf

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class TimesByLabels(Collector):
    """A histogram with labels, of one event loop: nothing in it is for several threads."""

    def __init__(
        self, name: str, about: str, labels: Sequence[str], bounds_s: Sequence[float], registry: CollectorRegistry
    ) -> None:
        """`bounds_s`: of the buckets, rising; the last, without an end, is added."""
        self._name = name
        self._about = about
        self._labels = tuple(labels)
        self._bounds_s = (*map(float, bounds_s), inf)
        self._le = [str(floatToGoString(bound_s)) for bound_s in self._bounds_s]  # type: ignore[no-untyped-call]
        self._series: dict[tuple[str, ...], _Series] = {}
        registry.register(self)

    def observe(self, rows: Iterable[tuple[tuple[str, ...], float]]) -> None:
        """Count each row: the values of the labels in their order, and seconds."""
        for values, seconds in rows:
            series = self._series.get(values)
            if series is None:
                series = self._series[values] = _Series(len(self._bounds_s))
            series.counts[bisect_left(self._bounds_s, seconds)] += 1
            series.sum_s += seconds

    def describe(self) -> Iterable[Metric]:
        """Its names, for the registry."""
        return [self._family()]

    def collect(self) -> Iterable[Metric]:
        """All series, as Prometheus' own histogram has them."""
        family = self._family()
        for values, series in list(self._series.items()):
            labels, so_far = dict(zip(self._labels, values, strict=True)), 0
            for le, count in zip(self._le, series.counts, strict=True):
                so_far += count
                family.add_sample(f"{self._name}_bucket", {**labels, "le": le}, float(so_far))
            family.add_sample(f"{self._name}_count", labels, float(so_far))
            family.add_sample(f"{self._name}_sum", labels, series.sum_s)
        return [family]

    def _family(self) -> Metric:
        return Metric(self._name, self._about, "histogram")


class _Series:
    """What was counted with the same labels."""

    def __init__(self, buckets: int) -> None:
        self.counts = [0] * buckets
        self.sum_s = 0.0
