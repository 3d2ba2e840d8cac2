"""The HorizontalPodAutoscaler of the examples, by the controller of a real kube-controller-manager."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cluster.metrics_api import ExternalMetrics, served
from tests.cluster.operator.harness import Cluster, until

from lorapool_api.names import FIELD_MANAGER
from lorapool_common.kube.resources import DEPLOYMENTS, POOLS

pytestmark = pytest.mark.plane
EXAMPLE = Path(__file__).parents[4] / "examples" / "hpa" / "hpa.yaml"
HPAS = "/apis/autoscaling/v2/namespaces/{}/horizontalpodautoscalers"


def _example(pool: str) -> dict[str, Any]:
    """The example for that pool; it forgets at once, as nobody waits for minutes here."""
    manifest: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text())
    manifest["spec"]["scaleTargetRef"]["name"] = pool
    (metric,) = manifest["spec"]["metrics"]
    metric["external"]["metric"]["selector"]["matchLabels"]["pool_name"] = pool
    manifest["spec"]["behavior"]["scaleDown"]["stabilizationWindowSeconds"] = 0
    return manifest


async def replicas(it: Cluster) -> int:
    found = await it.get(DEPLOYMENTS, "shapes-runtime")
    return int(found["spec"]["replicas"]) if found else -1


async def test_an_autoscaler_owns_the_replicas_of_a_pool_and_nobody_else_writes_them(
    it: Cluster, tmp_path: Path
) -> None:
    metrics = ExternalMetrics()
    async with served(metrics, it.kube, it.namespace, tmp_path):
        await it.make_pool()
        await it.pool_says("Ready", "True", "Available", timeout_s=60)
        await it.kube.request("POST", HPAS.format(it.namespace), body=_example("shapes"))

        metrics.value = 6
        await until(lambda: replicas(it), lambda count: count == 3)
        await it.pods(3)
        metrics.value = 1
        await until(lambda: replicas(it), lambda count: count == 1)
        await it.pods(1)

    assert metrics.asked == {("lorapool_demand_requests", "pool_name=shapes")}
    pool = await it.get(POOLS, "shapes")
    assert pool
    writers = {
        entry["manager"]
        for entry in pool["metadata"]["managedFields"]
        if "f:replicas" in entry["fieldsV1"].get("f:spec", {})
    }
    assert "kube-controller-manager" in writers
    # The tests' own client, which made the pool, has the operator's name.
    assert writers <= {"kube-controller-manager", FIELD_MANAGER}
