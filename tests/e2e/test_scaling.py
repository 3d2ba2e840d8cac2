"""A pool goes to zero when nobody asks, comes back with the first request, which is held, and loses none on its way up
and down."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests import files, make
from tests.e2e.cluster import Cluster, scratch_namespace, wait_until
from tests.e2e.images import generate, pool_with_files
from tests.e2e.load.load import Load

CONTENT = files.lora_file(seed=5)
SCALING = {"minReplicas": 0, "maxReplicas": 2, "scaleDownDelaySeconds": 0, "idleSeconds": 2}


@pytest.fixture(scope="module")
def cluster(installation: Cluster) -> Iterator[Cluster]:
    with scratch_namespace(installation, "e2e-scaling") as scratch:
        yield scratch


@pytest.mark.timeout(240)  # it waits for a pool to fall asleep, on a machine that may be busy
def test_a_request_that_finds_no_pod_is_held_until_one_has_made_its_image(cluster: Cluster) -> None:
    config, pool = pool_with_files("naps", cluster.namespace, {"one.safetensors": CONTENT}, scaling=SCALING)
    pool["spec"]["runtime"]["stub"] = {"stepMilliseconds": 200}
    cluster.apply(config, pool)
    cluster.apply(make.adapter_manifest("one", cluster.namespace, pool="naps"))
    cluster.wait_ready("lora", "one")
    cluster.wait_reason("bmp", "naps", "ScaledToZero")
    wait_until(lambda: not cluster.pods("naps"), "its pods are gone")
    assert cluster.condition("lora", "one")["status"] == "True"

    began = time.monotonic()
    image = generate(cluster, f"{cluster.namespace}/one")
    took_s = time.monotonic() - began

    assert image.adapters[0]["sha256"] == files.sha256(CONTENT)
    wait_until(lambda: "secondsToFirstImage" in _cold_start(cluster), "the first image is in the status")
    start = _cold_start(cluster)
    stages = {stage["name"]: stage["seconds"] for stage in start["stages"]}
    assert list(stages) == ["pod", "process", "load", "catalog", "image"]
    assert start["secondsToFirstImage"] == pytest.approx(sum(stages.values()), abs=0.01)
    # The pod's creation has whole seconds.
    assert start["secondsToFirstImage"] <= took_s + 2
    print(f"from zero to the first image: {took_s:.1f} s; {stages}")


@pytest.mark.timeout(240)
def test_no_request_fails_while_pods_come_and_go_by_demand(cluster: Cluster) -> None:
    """Two clients without a pause are two pods' work, and then one's: something runs in the pod that goes."""
    model = f"{cluster.namespace}/one"
    with Load(cluster, (model, model)).running() as load:
        # Between two requests of a client there is one less: for a moment, which is shorter than the delay.
        _scale(cluster, targetPending=1, scaleDownDelaySeconds=5)
        wait_until(
            lambda: cluster.get("bmp", "naps")["status"]["readyReplicas"] == 2,
            "two pods take requests",
            describe=lambda: cluster.get("bmp", "naps")["status"],
        )
        load.reach(model, lambda one: not one.failure, "the pool of two")
        _scale(cluster, targetPending=2)
        wait_until(lambda: len(cluster.pods("naps")) == 1, "one pod is left")
        load.reach(model, lambda one: not one.failure, "the pod that is left")
    assert load.failures(model) == []
    assert {one.sha256 for one in load.answered} == {files.sha256(CONTENT)}


def _scale(cluster: Cluster, **fields: int) -> None:
    cluster.run("patch", "bmp", "naps", "--type=merge", "-p", json.dumps({"spec": {"scaling": fields}}))


def _cold_start(cluster: Cluster) -> dict[str, Any]:
    found: dict[str, Any] = cluster.get("bmp", "naps")["status"].get("lastColdStart", {})
    return found
