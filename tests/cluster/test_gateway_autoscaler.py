"""The chart's HorizontalPodAutoscaler of the gateway, by the controller of a real kube-controller-manager."""

import asyncio
import subprocess
from pathlib import Path

import pytest
from tests.cluster.metrics_api import PodCpu, served
from tests.cluster.namespace import Namespace
from tests.cluster.operator.harness import CHART, install_crds
from tests.waiting import until_read

from lorapool_common.kube.resources import DEPLOYMENTS
from lorapool_local.plane import Plane

pytestmark = pytest.mark.plane
# Nothing cluster-wide: other tests share the plane. Only the gateway is of interest.
VALUES = {
    "crds.install": "false",
    "poolPolicy.enabled": "false",
    "operator.replicas": "0",
    "gateway.drainSeconds": "0",
    "gateway.autoscaling.enabled": "true",
    "gateway.autoscaling.behavior.scaleDown.stabilizationWindowSeconds": "0",  # 300 by default
}


def helm(plane: Plane, verb: str, namespace: str) -> None:
    values = VALUES | {"watchNamespaces": f"{{{namespace}}}"}
    sets = (word for name, value in values.items() for word in ("--set", f"{name}={value}"))
    words = (verb, "lorapool", str(CHART), "--kubeconfig", str(plane.kubeconfig), "-n", namespace, *sets)
    done = subprocess.run([str(plane.helm), *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.timeout(180)
async def test_gateways_come_and_go_by_the_cpu_that_they_use_and_an_upgrade_leaves_them(
    plane: Plane, namespace: Namespace, tmp_path: Path
) -> None:
    install_crds(plane.kubectl, plane.kubeconfig)
    cpu = PodCpu(namespace.kube, "gateway")

    async def ready() -> tuple[int, int]:
        """(wanted, ready)"""
        found = await namespace.kube.get(DEPLOYMENTS, namespace.name, "lorapool-gateway")
        return found["spec"]["replicas"], found.get("status", {}).get("readyReplicas", 0)

    async def are(count: int) -> None:
        await until_read(ready, lambda found: found == (count, count), f"{count} gateways", deadline_s=60)

    async with served(cpu, namespace.kube, namespace.name, tmp_path):
        await asyncio.to_thread(helm, plane, "install", namespace.name)
        await are(2)
        cpu.milli = 3 * 600
        await are(3)
        await asyncio.to_thread(helm, plane, "upgrade", namespace.name)
        assert await ready() == (3, 3)
        cpu.milli = 0
        await are(2)
