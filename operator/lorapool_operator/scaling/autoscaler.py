"""Once a second: how many requests there are for each pool with `spec.scaling`, and so how many pods it shall have."""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

import structlog

from lorapool_api.kinds.conditions import Reason
from lorapool_api.kinds.pods.scaling import Scaling
from lorapool_api.kinds.pool import Pool
from lorapool_api.names import full_name, runtime_name
from lorapool_common.kube.reflector import ListerWatcher, Reflector
from lorapool_common.kube.resources import Selection
from lorapool_operator.cluster.cache import ObjectCache
from lorapool_operator.decide.scaling.replicas import ReplicaState, begun, decided
from lorapool_operator.metrics import Metrics
from lorapool_operator.scaling.gateways import GatewayPods
from lorapool_operator.scaling.poll import AsksGateways, DemandPoll
from lorapool_operator.seen.verdict import Verdict
from lorapool_operator.seen.views import DeploymentView

log = structlog.get_logger(__name__)

EACH_S: Final = 1.0
# A gateway that restarts, or a leader that has just begun, is no reason to tell anybody.
TELL_AFTER_S: Final = 30.0


@dataclass(frozen=True)
class _PoolRecord:
    """What is remembered of a pool.

    Attributes:
        unknown_since_s: since when some gateway does not say how many requests it has; None: all do.
        is_reported: whether the pool's status is to say so.
    """

    key: str
    state: ReplicaState
    unknown_since_s: float | None
    is_reported: bool


class Autoscaler:
    """The decisions about all pools with `spec.scaling`; each is carried out by the next pass over its pool."""

    def __init__(
        self,
        cache: ObjectCache,
        source: ListerWatcher,
        gateways: Selection | None,
        client: AsksGateways,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        """`gateways` selects the pods that are asked; None: nobody says where they are."""
        self._cache = cache
        self._source = source
        self._selection = gateways
        self._metrics = metrics
        self._clock = clock
        self._poll = DemandPoll(client, clock)
        self._records: dict[str, _PoolRecord] = {}

    def replicas(self, pool: Pool, deployment: DeploymentView | None) -> int:
        """Pods that the pool shall have, as the API server counts replicas of a Deployment."""
        scaling = pool.spec.scaling
        if scaling is None:
            return pool.spec.replicas
        return self._state(pool, scaling, deployment).replicas

    def requests(self, pods: tuple[str, ...]) -> Mapping[str, int]:
        """The requests that pods have, by uid; of those that have any."""
        return {uid: count for uid in pods if (count := self._poll.of_pod(uid))}

    def problem(self, pool: Pool) -> Verdict | None:
        """Why the pool's pods stay as many as they are, whatever is asked of them; None: they do not."""
        record = self._records.get(pool.metadata.uid)
        if pool.spec.scaling is None or record is None or not record.is_reported:
            return None
        return Verdict(
            Reason.DEMAND_UNKNOWN,
            "not every gateway says how many requests it has: there are as many pods as before, and more where those "
            "that answer need them",
        )

    async def run(self) -> None:
        """Never returns. Asks nobody while no pool has `spec.scaling`."""
        while True:
            if self._pools():
                await self._scale()
            await asyncio.sleep(EACH_S)

    async def _scale(self) -> None:
        """Until no pool has it any more."""
        gateways = GatewayPods()
        watch = None if self._selection is None else Reflector(self._source, self._selection, gateways)
        watching = asyncio.create_task(watch.run()) if watch else None
        try:
            while pools := self._pools():
                await self._poll.ask(gateways.pods)
                for pool, scaling in pools:
                    self._decide(pool, scaling)
                self._keep_only({pool.metadata.uid for pool, _ in pools})
                await asyncio.sleep(EACH_S)
                if watching is not None and watching.done():
                    watching.result()  # a reflector never ends by itself: that is a defect
        finally:
            if watching is not None:
                watching.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await watching
            self._keep_only(())

    def _pools(self) -> list[tuple[Pool, Scaling]]:
        return [(p, p.spec.scaling) for p in self._cache.living_pools() if p.spec.scaling is not None]

    def _decide(self, pool: Pool, scaling: Scaling) -> None:
        now_s, uid = self._clock(), pool.metadata.uid
        pods = self._cache.pods.of_pool(pool.key)
        requests = self._poll.requests(pool.key, [pod.uid for pod in pods])
        deployment = self._cache.deployments.get(full_name(pool.metadata.namespace, runtime_name(pool.metadata.name)))
        is_own = deployment is not None and deployment.owner == uid
        before = self._state(pool, scaling, deployment if is_own else None)
        after = decided(before, scaling, requests, now_s, is_ready=any(pod.ready for pod in pods))
        old = self._records.get(uid)
        since_s = None if requests.is_complete else now_s if old is None else old.unknown_since_s or now_s
        is_reported = since_s is not None and now_s - since_s >= TELL_AFTER_S
        self._records[uid] = _PoolRecord(pool.key, after, since_s, is_reported)
        self._metrics.set_scaling(pool.key, after.replicas, requests.count, requests.is_complete)
        if after.replicas != before.replicas:
            counts = {"replicas": after.replicas, "before": before.replicas, "requests": requests.count}
            log.info("a pool is scaled", pool=pool.key, **counts)
        if after.replicas != before.replicas or is_reported != (old is not None and old.is_reported):
            self._cache.wake((pool.key,))

    def _state(self, pool: Pool, scaling: Scaling, deployment: DeploymentView | None) -> ReplicaState:
        known = self._records.get(pool.metadata.uid)
        return known.state if known else begun(scaling, deployment.replicas if deployment else None, self._clock())

    def _keep_only(self, uids: Collection[str]) -> None:
        for uid in self._records.keys() - set(uids):
            self._metrics.forget_scaling(self._records.pop(uid).key)
