"""A pool becomes objects, and its status says how they fare."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.operator.fakes import FakeKubelet
from tests.cluster.operator.harness import TEMPLATE, Cluster, cluster, until

from lorapool_api.kinds.conditions import Reason
from lorapool_api.names import CONFIG_ENV, CONTROL_PORT
from lorapool_api.wire.config import RuntimeConfig
from lorapool_common.kube.resources import (
    ADAPTERS,
    BUDGETS,
    CORE_EVENTS,
    DEPLOYMENTS,
    NAMESPACES,
    NETWORK_POLICIES,
    POOLS,
    SECRETS,
    SERVICES,
)
from lorapool_common.signed.calls import Verifier

pytestmark = pytest.mark.plane


async def test_a_pool_becomes_a_deployment_a_service_a_policy_and_a_disruption_budget(it: Cluster) -> None:
    await it.make_pool()
    await it.pool_says("Ready", "True", "Available")

    deployment = await it.get(DEPLOYMENTS, "shapes-runtime")
    service = await it.get(SERVICES, "shapes-runtime")
    policy = await it.get(NETWORK_POLICIES, "shapes-runtime")
    assert await it.get(BUDGETS, "shapes-runtime")
    assert deployment is not None
    assert service is not None
    assert policy is not None
    assert await it.get(SECRETS, "shapes-control") is None
    assert [rule["ports"][0]["port"] for rule in policy["spec"]["ingress"]] == [8080, 8081]
    assert [p["port"] for p in service["spec"]["ports"]] == [8080]
    (owner,) = deployment["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["controller"], owner["blockOwnerDeletion"]) == ("BaseModelPool", True, False)


async def test_the_operators_calls_are_signed_for_the_pod_and_its_configuration_says_by_which_key(it: Cluster) -> None:
    await it.make_pool()
    await it.pool_says("Ready", "True", "Available")
    deployment = await it.get(DEPLOYMENTS, "shapes-runtime")
    assert deployment is not None
    env = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    (text,) = (row["value"] for row in env if row["name"] == CONFIG_ENV)
    pod = it.kubelet.only()
    verifier = Verifier(RuntimeConfig.model_validate_json(text).trusted.operators, f"{pod.ip}:{CONTROL_PORT}")
    assert pod.signed
    for signature, method, target in pod.signed:
        verifier.check(signature, method, target)


async def test_status_says_how_many_pods_there_are_and_where_they_are(it: Cluster) -> None:
    await it.make_pool(replicas=2)
    await it.pool_says("Ready", "True", "Available")
    pool = await it.get(POOLS, "shapes")
    assert pool
    status = pool["status"]
    assert (status["replicas"], status["readyReplicas"]) == (2, 2)
    assert status["url"] == f"http://shapes-runtime.{it.namespace}.svc:8080"
    assert status["model"] == {"revision": "rev-1", "sizeBytes": 10, "sources": []}
    assert status["lastColdStartSeconds"] == 1.5


async def test_a_deployment_that_somebody_changed_is_put_back(it: Cluster) -> None:
    await it.make_pool()
    await it.pool_says("Ready", "True", "Available")
    await it.edit(DEPLOYMENTS, "shapes-runtime", {"spec": {"replicas": 3, "paused": True}})

    async def replicas() -> Any:
        found = await it.get(DEPLOYMENTS, "shapes-runtime")
        return found["spec"]["replicas"] if found else None

    await until(replicas, lambda n: n == 1)


async def test_a_namespace_that_is_deleted_has_its_pools_scaled_down_at_once(plane: Any, tmp_path: Path) -> None:
    async with cluster(plane, tmp_path, "http://127.0.0.1:1", cluster_wide=True) as it:
        other = f"{it.namespace}-other"
        await it.kube.create(NAMESPACES, None, {"metadata": {"name": other}})
        it.start_operator()
        there = replace(it, namespace=other, kubelet=FakeKubelet(it.kube, other))
        async with there.kubelet.running():
            await there.make_pool()
            await there.make_adapter()
            await there.adapter_says("Served")

            await it.kube.remove(NAMESPACES, None, other)

            # The namespace controller, which looks after 5 s, would delete the Deployment as it is.
            await until(
                lambda: there.get(DEPLOYMENTS, "shapes-runtime"), lambda d: d is None or d["spec"]["replicas"] == 0
            )
            assert await there.get(DEPLOYMENTS, "shapes-runtime")
            await there.pods(0)
            await until(
                lambda: it.kube.list(NAMESPACES), lambda all_: other not in [n["metadata"]["name"] for n in all_], 60
            )
        assert "warning" not in it.log()
        assert "error" not in it.log()


async def test_a_deployment_that_somebody_deleted_comes_back(it: Cluster) -> None:
    await it.make_pool()
    await it.pool_says("Ready", "True", "Available")
    before = await it.get(DEPLOYMENTS, "shapes-runtime")
    assert before
    await it.delete(DEPLOYMENTS, "shapes-runtime")
    await until(
        lambda: it.get(DEPLOYMENTS, "shapes-runtime"),
        lambda d: d is not None and d["metadata"]["uid"] != before["metadata"]["uid"],
    )


async def test_a_pod_template_that_the_api_server_refuses_is_told_and_can_be_put_right(it: Cluster) -> None:
    broken = {"spec": {**TEMPLATE["spec"], "nodeSelector": {"a b": "c"}}}
    await it.make_pool(template=broken)
    degraded = await it.pool_says("Degraded", "True", "InvalidSpec")
    assert "nodeSelector" in degraded.message
    await it.edit(POOLS, "shapes", {"spec": {"runtime": {"podTemplate": {"spec": {"nodeSelector": None}}}}})
    await it.pool_says("Degraded", "False", "Stable")
    await it.pool_says("Ready", "True", "Available")


async def test_a_typo_in_a_pod_template_is_told_with_its_path(it: Cluster) -> None:
    """The API server calls a field that it does not know an error of its own (500)."""
    typo = {"spec": {**TEMPLATE["spec"], "nodeSelectr": {"a": "b"}}}
    await it.make_pool(template=typo)
    degraded = await it.pool_says("Degraded", "True", "InvalidSpec")
    assert "spec.runtime.podTemplate.spec.nodeSelectr: field not declared in schema" in degraded.message
    await it.edit(POOLS, "shapes", {"spec": {"runtime": {"podTemplate": {"spec": {"nodeSelectr": None}}}}})
    await it.pool_says("Degraded", "False", "Stable")


async def test_deleting_a_pool_removes_its_objects_and_its_adapters_wait_for_another(it: Cluster) -> None:
    await it.make_pool()
    await it.make_adapter()
    await it.adapter_says("Served")
    await it.delete(POOLS, "shapes")
    await it.adapter_says("PoolNotFound")
    for resource, name in ((DEPLOYMENTS, "shapes-runtime"), (SERVICES, "shapes-runtime"), (SECRETS, "shapes-control")):
        await it.gone(resource, name, timeout_s=60)

    await it.make_pool()
    await it.adapter_says("Served", timeout_s=60)


async def test_deleting_an_adapter_of_a_pool_that_is_gone_does_not_hang(it: Cluster) -> None:
    await it.make_pool()
    await it.make_adapter()
    await it.adapter_says("Served")
    await it.delete(POOLS, "shapes")
    await it.delete(ADAPTERS, "pixel")
    await it.gone(ADAPTERS, "pixel")


async def test_a_base_that_cannot_be_loaded_degrades_the_pool_with_the_pods_reason(it: Cluster) -> None:
    it.kubelet.template = {
        "warm": False,
        "base_failure": (Reason.MODEL_LOAD_FAILED, "no model_index.json in /models/shapes-xl"),
    }
    await it.make_pool()
    degraded = await it.pool_says("Degraded", "True", "ModelLoadFailed")
    assert "no model_index.json in /models/shapes-xl" in degraded.message
    available = await it.pool_says("Available", "False", "ModelLoadFailed")
    assert available.message == degraded.message


async def test_a_crashing_pod_is_told_with_its_last_words(it: Cluster) -> None:
    it.kubelet.template = {"warm": False}
    await it.make_pool()
    await it.pods(1)
    (name,) = it.kubelet.pods
    await it.kubelet.set_status(
        name,
        {
            "conditions": [{"type": "Ready", "status": "False"}],
            "containerStatuses": [
                {
                    "name": "runtime",
                    "ready": False,
                    "restartCount": 3,
                    "image": "stub",
                    "imageID": "",
                    "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
                    "lastState": {"terminated": {"exitCode": 1, "reason": "Error", "message": "no CUDA device"}},
                }
            ],
        },
    )
    degraded = await it.pool_says("Degraded", "True", "PodFailed")
    assert "no CUDA device" in degraded.message
    assert "exit code 1" in degraded.message


async def test_a_pool_without_replicas_says_so_and_so_do_its_adapters(it: Cluster) -> None:
    await it.make_pool(replicas=0)
    await it.make_adapter()
    await it.pool_says("Available", "False", "ScaledToZero")
    adapter = await it.adapter_says("WaitingForPods")
    assert "scale it up" in adapter.status.conditions[-1].message

    await it.edit(POOLS, "shapes", {"spec": {"replicas": 1}})
    await it.pool_says("Ready", "True", "Available")
    await it.adapter_says("Served")


async def test_events_tell_what_a_person_wants_to_know(it: Cluster) -> None:
    await it.make_pool()
    await it.make_adapter("refused", source={"url": "https://example.org/x.safetensors"})
    await it.make_adapter("fine")
    await it.adapter_says("Served", "fine")

    async def reasons() -> set[tuple[str, str]]:
        events = await it.kube.list(CORE_EVENTS, it.namespace)
        return {
            (e["involvedObject"]["kind"], e["reason"])
            for e in events
            if e["involvedObject"]["kind"] in ("BaseModelPool", "LoraAdapter")
        }

    await until(reasons, lambda found: found == {("BaseModelPool", "Available"), ("LoraAdapter", "SourceForbidden")})
