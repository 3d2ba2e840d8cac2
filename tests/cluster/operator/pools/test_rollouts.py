"""Pods are replaced, objects put back or left alone, as a real API server and its controllers see it."""

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.cluster.operator.fakes import running_status
from tests.cluster.operator.harness import TEMPLATE, Cluster, until

from lorapool_api.kinds.conditions import Reason
from lorapool_api.names import PAUSED_ANNOTATION
from lorapool_common.kube.resources import BUDGETS, DEPLOYMENTS, NETWORK_POLICIES, POOLS, SERVICES, Resource

pytestmark = pytest.mark.plane

CRASHED = {
    "conditions": [{"type": "Ready", "status": "False"}],
    "containerStatuses": [
        {
            "name": "runtime",
            "ready": False,
            "restartCount": 3,
            "image": "stub",
            "imageID": "",
            "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
            "lastState": {
                "terminated": {
                    "exitCode": 1,
                    "reason": "Error",
                    "message": "Traceback (most recent call last):\n  File x, line 1\nRuntimeError: no CUDA device\n",
                }
            },
        }
    ],
}


async def made(it: Cluster, **spec: Any) -> None:
    """A pool that is ready; the operator may take its time to start on a busy machine."""
    await it.make_pool(**spec)
    await it.pool_says("Ready", "True", "Available", timeout_s=60)


async def uid(it: Cluster, resource: Resource, name: str) -> Any:
    found = await it.get(resource, name)
    return found and found["metadata"]["uid"]


async def test_what_somebody_edits_or_deletes_is_put_back_within_seconds_and_what_is_others_stays(it: Cluster) -> None:
    await made(it)
    annotated = {"metadata": {"annotations": {"team": "a"}}}
    await it.edit(SERVICES, "shapes-runtime", annotated | {"spec": {"selector": {"app.kubernetes.io/name": "else"}}})
    await it.edit(BUDGETS, "shapes-runtime", annotated | {"spec": {"maxUnavailable": 5}})
    await it.edit(DEPLOYMENTS, "shapes-runtime", annotated | {"metadata": {"ownerReferences": None}})

    async def drifted() -> Any:
        service, budget = await it.get(SERVICES, "shapes-runtime"), await it.get(BUDGETS, "shapes-runtime")
        deployment = await it.get(DEPLOYMENTS, "shapes-runtime")
        assert service
        assert budget
        assert deployment
        selector = service["spec"]["selector"]["app.kubernetes.io/name"]
        return selector, budget["spec"]["maxUnavailable"], len(deployment["metadata"].get("ownerReferences", ()))

    await until(drifted, lambda found: found == ("lorapool-runtime", 1, 1), 5)
    service = await it.get(SERVICES, "shapes-runtime")
    assert service
    assert service["metadata"]["annotations"] == {"team": "a"}

    for resource in (SERVICES, BUDGETS, NETWORK_POLICIES):
        before = await uid(it, resource, "shapes-runtime")
        await it.delete(resource, "shapes-runtime")
        await until(
            lambda resource=resource: uid(it, resource, "shapes-runtime"),  # type: ignore[misc]
            lambda found, before=before: found not in (None, before),  # type: ignore[misc]
            5,
        )


@pytest.mark.parametrize(
    ("resource", "name", "spec"),
    [
        (SERVICES, "shapes-runtime", {"spec": {"ports": [{"port": 80}]}}),
        (NETWORK_POLICIES, "shapes-runtime", {"spec": {"podSelector": {}}}),
    ],
    ids=["Service", "NetworkPolicy"],
)
async def test_an_object_that_is_not_the_pools_is_left_as_it_is_and_named(
    it: Cluster, resource: Resource, name: str, spec: dict[str, Any]
) -> None:
    theirs = await it.kube.create(resource, it.namespace, {"metadata": {"name": name}, **spec})
    await it.make_pool()
    degraded = await it.pool_says("Degraded", "True", "InvalidSpec")
    assert f"{resource.kind} {name} is there already and is not the pool's" in degraded.message
    now = await it.get(resource, name)
    assert now
    assert now["metadata"]["resourceVersion"] == theirs["metadata"]["resourceVersion"]
    assert await it.get(DEPLOYMENTS, "shapes-runtime") is None

    await it.delete(resource, name)
    await it.edit(POOLS, "shapes", {"metadata": {"annotations": {"wake": "up"}}})
    await it.pool_says("Ready", "True", "Available", timeout_s=40)


async def test_a_roll_out_that_does_not_get_there_says_the_new_pods_last_words_and_the_old_one_serves_on(
    it: Cluster,
) -> None:
    await made(it)
    await it.make_adapter()
    await it.adapter_says("Served")
    (old,) = it.kubelet.pods
    it.kubelet.template = {"warm": False}
    await it.edit(POOLS, "shapes", {"spec": {"runtime": {"image": "runtime:broken"}}})
    await it.pods(2)
    (new,) = set(it.kubelet.pods) - {old}

    async def message() -> str:
        return (await it.pool_says("Progressing", "True", "RollingOut")).message

    said = "0 of 1 pods of the newest template take requests; 1 of an older one are still there"
    await until(message, lambda found: found.startswith(said))
    await it.kubelet.set_status(new, CRASHED)
    stuck = await it.pool_says("Progressing", "False", "PodFailed")
    assert stuck.message.endswith("CrashLoopBackOff: Error with exit code 1: RuntimeError: no CUDA device")
    await it.pool_says("Available", "True", "Available")
    assert (await it.adapter_says("Served")).status.pods.ready == 1
    assert old in it.kubelet.pods

    it.kubelet.template = {}
    await it.edit(POOLS, "shapes", {"spec": {"runtime": {"image": "runtime:2"}}})
    await it.pool_says("Progressing", "False", "Stable")
    assert old not in it.kubelet.pods


async def test_a_roll_out_that_finds_no_gpu_says_so_and_is_over_at_its_deadline(it: Cluster) -> None:
    rollout = {"maxUnavailable": 0, "progressDeadlineSeconds": 2}
    runtime = {"engine": "stub", "device": "cpu", "podTemplate": TEMPLATE, "rollout": rollout}
    await made(it, runtime=runtime)
    (old,) = it.kubelet.pods
    it.kubelet.template = {"warm": False}
    await it.edit(POOLS, "shapes", {"spec": {"runtime": {"image": "runtime:2"}}})
    await it.pods(2)
    (new,) = set(it.kubelet.pods) - {old}
    words = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
    since = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    scheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words}
    status = running_status("127.0.0.1", ready=False) | {"phase": "Pending", "podIP": None, "podIPs": None}
    await it.kubelet.set_status(new, status | {"conditions": [scheduled | {"lastTransitionTime": since}]})

    late = await it.pool_says("Progressing", "False", "ProgressDeadlineExceeded")
    assert f"no free GPU (nvidia.com/gpu) for a pod: {words}" in late.message
    await it.pool_says("Available", "True", "Available")


async def test_a_template_that_breaks_the_contract_is_refused_and_the_pods_serve_on(it: Cluster) -> None:
    await made(it)
    broken = {"spec": {"runtime": {"podTemplate": {"spec": {"hostNetwork": True}}}}}
    await it.edit(POOLS, "shapes", broken)
    degraded = await it.pool_says("Degraded", "True", "InvalidSpec")
    assert degraded.message.startswith("spec.runtime.podTemplate.spec.hostNetwork: ")
    await it.pool_says("Available", "True", "Available")
    deployment = await it.get(DEPLOYMENTS, "shapes-runtime")
    assert deployment
    assert "hostNetwork" not in deployment["spec"]["template"]["spec"]


async def test_a_pool_that_is_paused_stays_as_it_is_and_says_so(it: Cluster) -> None:
    await made(it)
    await it.edit(POOLS, "shapes", {"metadata": {"annotations": {PAUSED_ANNOTATION: ""}}})
    await it.pool_says("Paused", "True", "Paused")
    await it.edit(POOLS, "shapes", {"spec": {"replicas": 2}})
    await it.delete(SERVICES, "shapes-runtime")
    await it.make_adapter()
    await it.pool_says("Progressing", "True", Reason.STARTING)  # it has seen the edit
    deployment = await it.get(DEPLOYMENTS, "shapes-runtime")
    assert deployment
    assert deployment["spec"]["replicas"] == 1
    assert await it.get(SERVICES, "shapes-runtime") is None

    await it.edit(POOLS, "shapes", {"metadata": {"annotations": {PAUSED_ANNOTATION: None}}})
    await it.pods(2)
    await it.adapter_says("Served")
    assert await it.get(SERVICES, "shapes-runtime")
