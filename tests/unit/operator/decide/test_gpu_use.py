"""How many GPUs a pool takes, beside a Deployment for each of its adapters."""

from typing import Any

import pytest
from tests.unit.operator import make

from lorapool_operator.decide.pools.gpu_use import gpu_use, gpus_of_a_pod
from lorapool_operator.seen.views import PodTrouble, Problem

ONE = {"limits": {"nvidia.com/gpu": 1}}


def pool(resources: dict[str, Any] | None = None, in_template: dict[str, Any] | None = None) -> Any:
    runtime: dict[str, Any] = {"engine": "stub", "device": "cuda"}
    runtime |= {"resources": resources} if resources else {}
    if in_template:
        runtime["podTemplate"] = {"spec": {"containers": [{"name": "runtime", "resources": in_template}]}}
    return make.pool(runtime=runtime)


@pytest.mark.parametrize(
    ("resources", "in_template", "gpus"),
    [
        (ONE, None, 1),
        ({"limits": {"nvidia.com/gpu": "2", "memory": "8Gi", "cpu": 4}}, None, 2),
        ({"limits": {"nvidia.com/mig-1g.10gb": 1}}, None, 1),
        ({"limits": {"amd.com/gpu": 1}}, None, 1),
        ({"limits": {"cpu": 4}}, None, 0),
        (None, ONE, 1),
        (ONE, {"limits": {"nvidia.com/gpu": 4}}, 4),
        (None, None, 0),
    ],
)
def test_gpus_of_a_pod_are_counted_by_what_its_container_may_have(
    resources: dict[str, Any] | None, in_template: dict[str, Any] | None, gpus: int
) -> None:
    assert gpus_of_a_pod(pool(resources, in_template)) == gpus


def test_a_pod_holds_its_gpu_from_its_place_on_a_node_to_its_end() -> None:
    waits = Problem(PodTrouble.UNSCHEDULABLE, "Unschedulable", "no GPU")
    pods = (
        make.pod("a"),
        make.pod("b", phase="Pending", ready=False),
        make.pod("c", terminating=True),
        make.pod("d", phase="Pending", problem=waits),
        make.pod("e", phase="Failed"),
    )
    use = gpu_use(make.seen(pool=pool(ONE), pods=pods), served_adapters=130)
    assert (use.pooled, use.dedicated) == (3, 130)


def test_without_a_pool_nothing_is_held() -> None:
    use = gpu_use(make.seen(pool=None), served_adapters=3)
    assert (use.pooled, use.dedicated) == (0, 0)
