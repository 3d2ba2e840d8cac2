"""Pools that the operator scales by what gateways say, on a real API server with its ReplicaSet controller."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from secrets import randbelow
from typing import Any

import pytest
from aiohttp import web
from tests.cluster.operator.fakes import running_status
from tests.cluster.operator.harness import Cluster, cluster

from lorapool_api.names import GATEWAY_HEALTH_PORT
from lorapool_api.wire.gateways.demand import GatewayDemand, PodRequests, PoolDemand
from lorapool_common.kube.resources import DEPLOYMENTS, PODS, POOLS

pytestmark = pytest.mark.plane
SELECTOR = "app=a-gateway"


class Gateway:
    """A pod that says what a test sets: requests that wait, and requests of pods by their uids."""

    def __init__(self) -> None:
        self.waiting = 0
        self.busy: dict[str, int] = {}
        self.asked = 0

    def says(self, namespace: str) -> GatewayDemand:
        self.asked += 1
        demand = PoolDemand(waiting=self.waiting, running=0, demand=self.waiting)
        pods = {uid: PodRequests(pending=0, running=count) for uid, count in self.busy.items()}
        return GatewayDemand(pools={f"{namespace}/shapes": demand}, pods=pods)

    @contextlib.asynccontextmanager
    async def running(self, it: Cluster) -> AsyncIterator[None]:
        async def handler(_: web.Request) -> web.Response:
            return web.Response(text=self.says(it.namespace).model_dump_json(), content_type="application/json")

        app = web.Application()
        app.router.add_get("/v1/demand", handler)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        ip = f"127.{180 + randbelow(70)}.{1 + randbelow(254)}.{2 + randbelow(250)}"
        await web.TCPSite(runner, ip, GATEWAY_HEALTH_PORT).start()
        await it.kube.create(PODS, it.namespace, _manifest())
        await it.kubelet.set_status("gateway", running_status(ip, ready=True))
        try:
            yield
        finally:
            await it.kube.remove(PODS, it.namespace, "gateway", grace_s=0)
            await runner.cleanup()


def _manifest() -> dict[str, Any]:
    """No scheduler takes it."""
    security = {
        "allowPrivilegeEscalation": False,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = {"name": "runtime", "image": "gateway", "securityContext": security}
    return {
        "metadata": {"name": "gateway", "labels": {"app": "a-gateway"}},
        "spec": {"schedulerName": "nobody", "containers": [container]},
    }


@pytest.fixture
async def it(plane: Any, tmp_path: Path) -> AsyncIterator[Cluster]:
    async with cluster(plane, tmp_path, "http://127.0.0.1:1") as running:
        running.start_operator(LORAPOOL_GATEWAY_SELECTOR=SELECTOR)
        yield running


async def uids(it: Cluster) -> dict[str, str]:
    """Of the pool's pods, by their names."""
    listed = await it.kube.list(PODS, it.namespace, "lorapool.dev/pool")
    return {p["metadata"]["name"]: p["metadata"]["uid"] for p in listed if "deletionTimestamp" not in p["metadata"]}


async def test_a_pool_follows_its_requests_up_down_and_to_zero_and_the_idle_pods_go(it: Cluster) -> None:
    gateway = Gateway()
    async with gateway.running(it):
        scaling = {"minReplicas": 0, "maxReplicas": 3, "scaleDownDelaySeconds": 1, "idleSeconds": 2}
        gateway.waiting = 1
        await it.make_pool(scaling=scaling)
        await it.make_adapter()
        await it.adapter_says("Served")
        gateway.waiting = 6
        await it.pods(3)
        await it.pool_says("Ready", "True", "Available")

        names = sorted(await uids(it))
        stays = names[1]
        gateway.waiting, gateway.busy = 0, {(await uids(it))[stays]: 2}
        await it.pods(1)
        assert list(await uids(it)) == [stays], "the pod that works stays"

        gateway.busy = {}
        await it.pods(0)
        await it.pool_says("Ready", "True", "ScaledToZero")
        await it.adapter_says("Served")

        gateway.waiting = 1
        await it.pods(1)
        await it.pool_says("Ready", "True", "Available")
        pool = await it.get(POOLS, "shapes")
        assert pool
        assert pool["spec"]["replicas"] == 1, "the spec is its owner's"
    assert '"level": "error"' not in it.log()


async def test_without_a_gateway_the_pods_stay_and_a_restart_takes_none_away(it: Cluster) -> None:
    """Unknown is not zero: not for an operator that begins either."""
    gateway = Gateway()
    async with gateway.running(it):
        gateway.waiting = 4
        await it.make_pool(scaling={"minReplicas": 0, "maxReplicas": 2, "scaleDownDelaySeconds": 0, "idleSeconds": 1})
        await it.pods(2)
    (process,) = it.processes
    await it.stop_operator(process)
    it.start_operator("two", LORAPOOL_GATEWAY_SELECTOR=SELECTOR)
    for name in ("first", "second"):
        await it.make_adapter(name)
        await it.adapter_says("Served", name, timeout_s=60)
    deployment = await it.get(DEPLOYMENTS, "shapes-runtime")
    assert deployment
    assert (deployment["spec"]["replicas"], len(await uids(it))) == (2, 2)
