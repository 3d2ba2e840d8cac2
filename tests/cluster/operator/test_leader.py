"""Restarts, take-overs and the end of the operator."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.operator.harness import Cluster, cluster, until
from tests.files import lora_file
from tests.operator_hub import FakeHub, Repo

from lorapool_common.kube.resources import ADAPTERS, DEPLOYMENTS, LEASES, POOLS, SECRETS, SERVICES

pytestmark = pytest.mark.plane


@pytest.fixture
async def hub() -> AsyncIterator[FakeHub]:
    async with FakeHub({"a/b": Repo({"pytorch_lora_weights.safetensors": lora_file()})}) as running:
        yield running


@pytest.fixture
async def it(plane: Any, tmp_path: Path, hub: FakeHub) -> AsyncIterator[Cluster]:
    async with cluster(plane, tmp_path, hub.url) as running:
        yield running


async def holder(it: Cluster) -> str | None:
    lease = await it.get(LEASES, it.lease)
    return (lease["spec"].get("holderIdentity") or None) if lease else None


async def holds(it: Cluster, identity: str, timeout_s: float = 20.0) -> None:
    await until(lambda: holder(it), lambda found: found == identity, timeout_s)


async def versions(it: Cluster) -> dict[str, str]:
    """resourceVersions of all that the operator writes."""
    named = [
        (ADAPTERS, "pixel"),
        (ADAPTERS, "from-hub"),
        (ADAPTERS, "nowhere"),
        (ADAPTERS, "lost"),
        (POOLS, "shapes"),
        (DEPLOYMENTS, "shapes-runtime"),
        (SERVICES, "shapes-runtime"),
        (SECRETS, "shapes-control"),
    ]
    found = [(name, await it.get(resource, name)) for resource, name in named]
    return {name: body["metadata"]["resourceVersion"] for name, body in found if body}


async def test_a_restart_changes_nothing(it: Cluster, hub: FakeHub) -> None:
    first = it.start_operator()
    await it.make_pool()
    await it.make_adapter()
    await it.make_adapter("from-hub", source={"hub": {"repo": "a/b"}})
    await it.make_adapter("nowhere", source={"hub": {"repo": "a/missing"}})
    await it.make_adapter("lost", pool="nix")
    await it.adapter_says("Served")
    await it.adapter_says("Served", "from-hub")
    await it.adapter_says("SourceNotFound", "nowhere")
    await it.adapter_says("PoolNotFound", "lost")
    await it.pool_says("Ready", "True", "Available")
    assert await it.stop_operator(first) == 0
    before, calls, infos = await versions(it), list(it.kubelet.only().calls), hub.infos

    it.start_operator("two")
    await holds(it, "two")
    await it.make_adapter("probe")  # once it is served, passes over the pool are done
    await it.adapter_says("Served", "probe")
    after = await versions(it)
    assert {k: v for k, v in after.items() if k != "shapes"} == {k: v for k, v in before.items() if k != "shapes"}
    # The pod still held its catalog: nothing was sent before there was something new.
    assert it.kubelet.only().calls[len(calls) :].count("put") == 1
    assert hub.infos <= infos + 1  # the one that failed is looked at again, the other is not


async def test_two_replicas_never_act_both_and_the_second_takes_over_within_two_seconds(it: Cluster) -> None:
    first = it.start_operator("one")
    await holds(it, "one")
    it.start_operator("two")
    await it.make_pool()
    await it.make_adapter()
    await it.adapter_says("Served")
    await until_watching(it, "two")
    assert await holder(it) == "one"

    began = time.monotonic()
    assert await it.stop_operator(first) == 0
    stopped_s = time.monotonic() - began
    await holds(it, "two")
    assert time.monotonic() - began < stopped_s + 2.0
    assert stopped_s < 3.0
    await it.make_adapter("second")
    await it.adapter_says("Served", "second")


async def until_watching(it: Cluster, identity: str) -> None:
    async def log() -> str:
        return it.log(identity)

    await until(log, lambda text: "Initial authentication has finished" in text)


async def test_a_killed_leader_is_followed_when_its_lease_is_over(it: Cluster) -> None:
    first = it.start_operator("one")
    await holds(it, "one")
    it.start_operator("two")
    await until_watching(it, "two")
    began = time.monotonic()
    await it.stop_operator(first, signal.SIGKILL)
    await holds(it, "two", timeout_s=30)
    assert 10 < time.monotonic() - began < 22


def remove_finalizers(it: Cluster) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "lorapool_common.cli", "operator", "--remove-finalizers"],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(sys.path),
            "KUBECONFIG": str(it.kubeconfig),
            "LORAPOOL_NAMESPACES": it.namespace,
        },
        capture_output=True,
        text=True,
        timeout=30,
    )


async def test_removing_finalizers_leaves_nothing_that_hangs(it: Cluster) -> None:
    operator = it.start_operator()
    await it.make_pool()
    await it.make_adapter()
    await it.make_adapter("other")
    await it.adapter_says("Served")
    await it.adapter_says("Served", "other")
    await it.stop_operator(operator)
    await it.delete(ADAPTERS, "pixel")
    assert await it.get(ADAPTERS, "pixel")

    done = await asyncio.to_thread(remove_finalizers, it)
    assert done.returncode == 0, done.stderr
    await it.gone(ADAPTERS, "pixel", timeout_s=5)
    other = await it.get(ADAPTERS, "other")
    assert other
    assert not other["metadata"].get("finalizers")
