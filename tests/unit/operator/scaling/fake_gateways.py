"""Gateways that are numbers, an API server that knows their pods, and an autoscaler that asks them."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

from tests import make
from tests.unit.operator import make as made
from tests.virtual_time import now_s

from lorapool_api.kinds.pool import Pool
from lorapool_api.wire.gateways.demand import GatewayDemand, PoolDemand
from lorapool_common.kube.replies import Listing
from lorapool_common.kube.resources import PODS, Selection
from lorapool_common.kube.watch_events import WatchEvent
from lorapool_operator.cluster.cache import ObjectCache
from lorapool_operator.metrics import Metrics
from lorapool_operator.scaling.autoscaler import Autoscaler
from lorapool_operator.scaling.gateways import GatewayPod, GatewaySilent

POOL = "default/shapes"
SELECTION = Selection(PODS, "lorapool-system", "app.kubernetes.io/name=lorapool-gateway")


def gateway_manifest(
    ip: str = "10.1.0.1", *, ready: bool = True, phase: str = "Running", **metadata: Any
) -> dict[str, Any]:
    """A pod of a gateway."""
    condition = {"type": "Ready", "status": "True" if ready else "False"}
    return {
        "metadata": {"name": f"gateway-{ip}", "namespace": "lorapool-system", "uid": f"uid-{ip}"} | metadata,
        "status": {"phase": phase, "podIP": ip, "conditions": [condition]},
    }


@dataclass
class Gateways:
    """What each gateway answers, by its address: requests that wait. None: nothing in time."""

    waiting: dict[str, int | None] = field(default_factory=dict)
    asked: int = 0

    async def demand(self, pod: GatewayPod) -> GatewayDemand:
        self.asked += 1
        count = self.waiting.get(pod.ip)
        if count is None:
            raise GatewaySilent("no answer")
        return GatewayDemand(pools={POOL: PoolDemand(waiting=count, running=0, demand=count)})


@dataclass
class PodsOfGateways:
    """The API server: a list of pods, and then what is put there."""

    items: list[dict[str, Any]] = field(default_factory=list)
    events: "asyncio.Queue[WatchEvent]" = field(default_factory=asyncio.Queue)
    lists: int = 0
    ends: int = 0

    async def listing(self, selection: Selection) -> Listing:
        assert selection == SELECTION
        self.lists += 1
        return Listing(self.items, "1")

    async def watch(self, selection: Selection, version: str) -> AsyncGenerator[WatchEvent, None]:
        try:
            while True:
                yield await self.events.get()
        finally:
            self.ends += 1


class Scaled:
    """An autoscaler at work, and a pool that it is about."""

    def __init__(self) -> None:
        self.gateways, self.api, self.metrics = Gateways(), PodsOfGateways(), Metrics()
        self.woken: list[str] = []
        self.cache = ObjectCache(self.woken.append)
        self.cache.pods.put("default/p-1", made.pod())
        self.scaler = Autoscaler(self.cache, self.api, SELECTION, self.gateways, self.metrics, now_s)
        self._generation = 0

    def put(self, **scaling: int) -> Pool:
        """The pool, with that `spec.scaling`; without any it has none."""
        self._generation += 1
        spec: dict[str, Any] = {"scaling": {"maxReplicas": 4} | scaling} if scaling else {}
        pool = make.pool(**spec)
        meta = pool.metadata.model_copy(
            update={"generation": self._generation, "resource_version": str(self._generation)}
        )
        pool = pool.model_copy(update={"metadata": meta})
        self.cache.pools.put(POOL, pool)
        return pool

    def deploy(self, replicas: int) -> None:
        self.cache.deployments.put("default/shapes-runtime", made.deployment(replicas=replicas, resource_version="1"))

    def replicas(self) -> int:
        pool = self.cache.pools.get(POOL)
        assert pool is not None
        return self.scaler.replicas(pool, self.cache.deployments.get("default/shapes-runtime"))

    def problem(self) -> str | None:
        pool = self.cache.pools.get(POOL)
        assert pool is not None
        found = self.scaler.problem(pool)
        return found.reason if found else None
