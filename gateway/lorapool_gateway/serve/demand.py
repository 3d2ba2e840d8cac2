"""How many requests want a pool's pods: what the operator, an autoscaler or KEDA decides its size by."""

from contextlib import AbstractContextManager

from lorapool_api.wire.gateways.demand import MOST_PODS, MOST_POOLS, GatewayDemand, PodRequests, PoolDemand
from lorapool_gateway.cluster.directory import Directory
from lorapool_gateway.metrics import InProgress, Metrics
from lorapool_gateway.pods.load import Loads


class RequestCounts:
    """The requests that this gateway has, by pool. A request that waits for its adapter alone wants no other pod."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._waiting: dict[str, int] = {}
        self._running: dict[str, int] = {}

    def waiting(self, pool: str) -> AbstractContextManager[None]:
        """Count a request that no pod is ready for, while it lasts."""
        return _Counted(self._waiting, pool, (self._metrics.demand(pool),))

    def running(self, pool: str) -> AbstractContextManager[None]:
        """Count a request that a pod has, while it lasts."""
        return _Counted(self._running, pool, (self._metrics.demand(pool), self._metrics.running(pool)))

    def of(self, pool: str) -> PoolDemand:
        """The requests for the pool."""
        waiting, running = self._waiting.get(pool, 0), self._running.get(pool, 0)
        return PoolDemand(waiting=waiting, running=running, demand=waiting + running)

    @property
    def pools(self) -> list[str]:
        """Keys of the pools that some request is for."""
        return sorted({*self._waiting, *self._running})


class _Counted:
    """One more for the pool while it lasts, in the gauges too."""

    def __init__(self, counts: dict[str, int], pool: str, gauges: tuple[InProgress, ...]) -> None:
        self._counts = counts
        self._pool = pool
        self._gauges = gauges

    def __enter__(self) -> None:
        self._counts[self._pool] = self._counts.get(self._pool, 0) + 1
        for gauge in self._gauges:
            gauge.count += 1

    def __exit__(self, *_: object) -> None:
        left = self._counts[self._pool] - 1
        if left:
            self._counts[self._pool] = left
        else:
            del self._counts[self._pool]
        for gauge in self._gauges:
            gauge.count -= 1


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
