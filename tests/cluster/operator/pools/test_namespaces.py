"""A namespace that is deleted while no operator is there."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.operator.fakes import FakeKubelet
from tests.cluster.operator.harness import cluster, until

from lorapool_common.kube.resources import ADAPTERS, NAMESPACES

pytestmark = pytest.mark.plane


async def test_it_goes_within_20_s_of_the_operators_return(plane: Any, tmp_path: Path) -> None:
    """The namespace controller looks again every 8 s while finalizers are all that is left."""
    async with cluster(plane, tmp_path, "http://127.0.0.1:1", cluster_wide=True) as it:
        other = f"{it.namespace}-other"
        await it.kube.create(NAMESPACES, None, {"metadata": {"name": other}})
        operator = it.start_operator()
        there = replace(it, namespace=other, kubelet=FakeKubelet(it.kube, other))
        async with there.kubelet.running():
            await there.make_pool(replicas=2)
            await there.make_adapter()
            await there.adapter_says("Served")
            await it.stop_operator(operator)

            await it.kube.remove(NAMESPACES, None, other)
            await there.pods(0)
            left = await until(
                lambda: there.get(ADAPTERS, "pixel"), lambda a: a is not None and "deletionTimestamp" in a["metadata"]
            )
            assert left is not None
            assert left["metadata"]["finalizers"], "without the operator it would hang"

            it.start_operator("two")
            await there.gone(ADAPTERS, "pixel", timeout_s=60)
            began = time.monotonic()
            await until(
                lambda: it.kube.list(NAMESPACES), lambda all_: other not in [n["metadata"]["name"] for n in all_], 60
            )
            assert time.monotonic() - began < 20
