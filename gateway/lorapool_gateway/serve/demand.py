"""How many requests want a pool's pods: what the operator, an autoscaler or KEDA decides its size by."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from lorapool_api.wire.gateways.demand import MOST_PODS, MOST_POOLS, GatewayDemand, PodRequests, PoolDemand
from lorapool_gateway.cluster.directory import Directory
from lorapool_gateway.metrics import Metrics
from lorapool_gateway.pods.load import Loads


class RequestCounts:
    """The requests that this gateway has, by pool. A request that waits for its adapter alone wants no other pod."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._waiting: Counter[str] = Counter()
        self._running: Counter[str] = Counter()

    @contextmanager
    def waiting(self, pool: str) -> Iterator[None]:
        """Count a request that no pod is ready for, while it lasts."""
        with self._counted(self._waiting, pool):
            yield

    @contextmanager
    def running(self, pool: str) -> Iterator[None]:
        """Count a request that a pod has, while it lasts."""
        with self._metrics.running(pool), self._counted(self._running, pool):
            yield

    def of(self, pool: str) -> PoolDemand:
        """The requests for the pool."""
        waiting, running = self._waiting[pool], self._running[pool]
        return PoolDemand(waiting=waiting, running=running, demand=waiting + running)

    @property
    def pools(self) -> list[str]:
        """Keys of the pools that some request is for."""
        return sorted({*self._waiting, *self._running})

    @contextmanager
    def _counted(self, counts: Counter[str], pool: str) -> Iterator[None]:
        counts[pool] += 1
        try:
            with self._metrics.demand(pool):
                yield
        finally:
            counts[pool] -= 1
            if not counts[pool]:
                del counts[pool]


class DemandReporter:
    """What is said of demand."""

    def __init__(self, directory: Directory, loads: Loads, counts: RequestCounts) -> None:
        self._directory = directory
        self._loads = loads
        self._counts = counts

    def of_pool(self, pool: str) -> PoolDemand | None:
        """The requests that this gateway has for the pool; None: there is no such pool."""
        return self._counts.of(pool) if pool in self._directory.snapshot().pools else None

    def report(self) -> GatewayDemand:
        """All that there is to say."""
        pods = ((pod.uid, self._loads.last_status(pod)) for pod in self._directory.snapshot().pods.values())
        said = {uid: PodRequests(pending=s.pending, running=s.running) for uid, s in pods if s is not None}
        return GatewayDemand(
            pools={pool: self._counts.of(pool) for pool in self._counts.pools[:MOST_POOLS]},
            pods=dict(list(said.items())[:MOST_PODS]),
        )
