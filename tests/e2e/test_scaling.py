"""A pool goes to zero when nobody asks, and comes back with the first request, which is held."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests import files, make
from tests.e2e.cluster import Cluster, scratch_namespace, wait_until
from tests.e2e.images import generate, pool_with_files

CONTENT = files.lora_file(seed=5)
SCALING = {"minReplicas": 0, "maxReplicas": 2, "scaleDownDelaySeconds": 0, "idleSeconds": 2}


@pytest.fixture(scope="module")
def cluster(installation: Cluster) -> Iterator[Cluster]:
    with scratch_namespace(installation, "e2e-scaling") as scratch:
        yield scratch


def test_a_request_that_finds_no_pod_is_held_until_one_has_made_its_image(cluster: Cluster) -> None:
    cluster.apply(*pool_with_files("naps", cluster.namespace, {"one.safetensors": CONTENT}, scaling=SCALING))
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


def _cold_start(cluster: Cluster) -> dict[str, Any]:
    found: dict[str, Any] = cluster.get("bmp", "naps")["status"].get("lastColdStart", {})
    return found
