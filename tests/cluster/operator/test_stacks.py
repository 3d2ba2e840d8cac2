"""Stacks as objects, on a real API server: each is as its members are."""

from typing import Any

import pytest
from tests.cluster.operator.harness import Cluster

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.conditions import AdapterCondition, find
from lorapool_api.kinds.serving import FoundDefaults, SchedulerName
from lorapool_api.names import ADAPTER_FINALIZER
from lorapool_common.kube.resources import ADAPTERS

pytestmark = pytest.mark.plane
# The operator's process starts with the test.
STARTED_S = 60.0


def why(adapter: Adapter, type_: AdapterCondition) -> tuple[str, str]:
    found = find(adapter.status.conditions, type_)
    assert found is not None
    return found.status, found.message


def stack(*names: str) -> dict[str, Any]:
    return {"source": {"stack": [{"name": name} for name in names]}}


async def test_a_stack_comes_and_goes_with_its_members_and_is_no_business_of_pods(it: Cluster) -> None:
    await it.make_pool()
    await it.make_adapter("comic", **stack("pixel", "ink"))
    waiting = await it.adapter_says("MemberNotFound", "comic", timeout_s=STARTED_S)
    assert why(waiting, AdapterCondition.RESOLVED) == (
        "False",
        f"pool {it.namespace}/shapes has no adapter pixel, ink: create it, or take it out of spec.source.stack",
    )
    for name in ("pixel", "ink"):
        await it.make_adapter(name)
    served = await it.adapter_says("Served", "comic")
    assert served.is_ready
    assert ADAPTER_FINALIZER not in served.metadata.finalizers
    assert set(it.kubelet.only().entries or {}) == {f"{it.namespace}/pixel", f"{it.namespace}/ink"}

    await it.edit(ADAPTERS, "ink", {"spec": {"suspend": True}})
    suspended = await it.adapter_says("Suspended", "comic")
    assert why(suspended, AdapterCondition.READY)[1].startswith("member ink is not served: ")
    await it.delete(ADAPTERS, "ink")
    await it.adapter_says("MemberNotFound", "comic")
    await it.edit(ADAPTERS, "comic", {"spec": stack("pixel")})
    await it.adapter_says("Served", "comic")
    await it.delete(ADAPTERS, "comic")
    await it.gone(ADAPTERS, "comic")


async def test_defaults_of_an_object_reach_the_pods_and_those_the_pool_does_not_allow_are_refused(it: Cluster) -> None:
    await it.make_pool(serving={"defaults": {"steps": 5}, "limits": {"steps": 10}})
    await it.make_adapter(defaults={"steps": 4, "scheduler": "lcm"}, path="/adapters/lcm-lora-sdxl.safetensors")
    await it.adapter_says("Served", timeout_s=STARTED_S)
    entry = (it.kubelet.only().entries or {})[f"{it.namespace}/pixel"]
    assert entry.defaults == FoundDefaults(steps=4, scheduler=SchedulerName.LCM)
    assert entry.recognised == FoundDefaults(steps=4, guidance_scale=1.0, scheduler=SchedulerName.LCM)
    await it.edit(ADAPTERS, "pixel", {"spec": {"defaults": {"steps": 11}}})
    refused = await it.adapter_says("InvalidSpec")
    assert "at most 10" in why(refused, AdapterCondition.ACCEPTED)[1]
