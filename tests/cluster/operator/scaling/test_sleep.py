"""A pool whose pod sleeps while nobody asks, on a real API server; the pod is a real one of the stub engine."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.operator.harness import Cluster, cluster, until

from lorapool_common.kube.errors import ApiError
from lorapool_common.kube.resources import POOLS

pytestmark = pytest.mark.plane


@pytest.fixture
async def it(plane: Any, tmp_path: Path) -> AsyncIterator[Cluster]:
    async with cluster(plane, tmp_path, "http://127.0.0.1:1", enforce="privileged", fake_pods=False) as running:
        running.start_operator(LORAPOOL_RUNTIME_IMAGE="lorapool-runtime:test")
        yield running


def template(files: Path) -> dict[str, Any]:
    """What the plane's node can run: as this process's user, a folder of this machine mounted at /adapters."""
    container = {"name": "runtime", "volumeMounts": [{"name": "files", "mountPath": "/adapters"}]}
    return {
        "spec": {
            "securityContext": {"runAsUser": 0, "runAsNonRoot": False},
            "containers": [container],
            "volumes": [{"name": "files", "hostPath": {"path": str(files)}}],
        }
    }


async def test_a_pod_sleeps_after_its_idle_time_stays_ready_and_is_awake_where_it_may_not(
    it: Cluster, tmp_path: Path
) -> None:
    scaling = {"minReplicas": 0, "maxReplicas": 2, "scaleDownDelaySeconds": 0, "idleSeconds": 1, "sleep": True}
    await it.make_pool(template=template(tmp_path), scaling=scaling)

    async def status() -> dict[str, Any]:
        return ((await it.get(POOLS, "shapes")) or {}).get("status") or {}

    found = await until(status, lambda said: said.get("sleepingReplicas") == 1, timeout_s=60)
    assert (found["desiredReplicas"], found["readyReplicas"]) == (1, 1)
    available = next(c for c in found["conditions"] if c["type"] == "Available")
    assert available["status"] == "True"
    assert available["message"].endswith("the base of 1 waits in host memory until a request comes")

    await it.edit(POOLS, "shapes", {"spec": {"scaling": {"idleSeconds": 600, "sleep": None}}})

    awake = await until(status, lambda said: "sleepingReplicas" not in said, timeout_s=60)
    assert (awake["desiredReplicas"], awake["readyReplicas"]) == (1, 1)


async def test_a_base_that_cannot_leave_the_device_does_not_sleep(it: Cluster) -> None:
    with pytest.raises(ApiError, match="sleep goes with compile"):
        await it.make_pool(scaling={"maxReplicas": 2, "sleep": True}, serving={"compile": "Default"})
