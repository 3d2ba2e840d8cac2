"""Every pod has its catalog, whatever happens to it."""

import time
from typing import Any

import pytest
from tests.cluster.operator.harness import Cluster, until

from lorapool_common.kube.resources import POOLS

pytestmark = pytest.mark.plane


async def test_a_restarted_container_has_its_catalog_again_at_once(it: Cluster) -> None:
    """Same pod, same address: only its own word tells that it forgot everything."""
    await it.make_pool()
    await it.make_adapter()
    await it.adapter_says("Served")
    pod = it.kubelet.only()
    began = time.monotonic()
    await pod.restart()

    async def entries() -> Any:
        return pod.entries

    await until(entries, lambda held: held is not None and set(held) == {f"{it.namespace}/pixel"}, 5)
    assert time.monotonic() - began < 2
    await it.adapter_says("Served")


async def test_a_pod_that_is_not_ready_yet_is_told_its_catalog_already(it: Cluster) -> None:
    """Readiness itself waits for the catalog; and files are fetched while the base loads."""
    it.kubelet.template = {"warm": False}
    await it.make_pool()
    await it.make_adapter()
    await it.pods(1)

    async def entries() -> Any:
        return it.kubelet.only().entries

    await until(entries, bool)

    async def message() -> str:
        return str((await it.adapter_says("WaitingForPods")).status.conditions[-1].message)

    await until(message, lambda text: "loading the base model" in text)
    await it.kubelet.only().change(warm=True)
    await it.adapter_says("Served")


async def test_a_hung_pod_delays_nobody(it: Cluster) -> None:
    await it.make_pool(replicas=3)
    await it.pods(3)
    await it.make_adapter("first")
    await it.adapter_says("Served", "first")
    next(iter(it.kubelet.pods.values())).hangs = True
    took = []
    for name in ("second", "third"):
        began = time.monotonic()
        await it.make_adapter(name)
        await it.adapter_says("Served", name)
        took.append(time.monotonic() - began)
    assert max(took) < 4


async def test_after_the_first_catalog_only_changes_are_sent(it: Cluster) -> None:
    await it.make_pool()
    await it.make_adapter("first")
    await it.adapter_says("Served", "first")
    pod = it.kubelet.only()
    pod.calls.clear()
    await it.make_adapter("second")
    await it.adapter_says("Served", "second")
    assert pod.calls == ["patch"]


async def test_a_pod_with_another_catalog_than_thought_gets_all_of_it(it: Cluster) -> None:
    await it.make_pool()
    await it.make_adapter("first")
    await it.adapter_says("Served", "first")
    pod = it.kubelet.only()
    pod.entries = {}  # behind everybody's back
    await it.make_adapter("second")
    await it.adapter_says("Served", "second")
    assert set(pod.entries) == {f"{it.namespace}/first", f"{it.namespace}/second"}


async def test_pods_that_come_later_get_the_catalog_too(it: Cluster) -> None:
    await it.make_pool()
    await it.make_adapter()
    await it.adapter_says("Served")
    await it.edit(POOLS, "shapes", {"spec": {"replicas": 3}})
    await it.pods(3)

    async def served() -> Any:
        return (await it.adapter_says("Served")).status.pods

    await until(served, lambda pods: (pods.ready, pods.total) == (3, 3))
    await it.pool_says("Ready", "True", "Available")
    await it.edit(POOLS, "shapes", {"spec": {"replicas": 1}})
    await until(served, lambda pods: (pods.ready, pods.total) == (1, 1))
