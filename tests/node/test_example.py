"""The README's first pool, as given, and what a pool says whose cache folder belongs to somebody else."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import make
from tests.e2e.cluster import Cluster, Manifest, scratch_namespace

EXAMPLE = Path(__file__).parents[2] / "examples" / "sdxl" / "pool.yaml"


@pytest.fixture(scope="module")
def cluster(installation: Cluster) -> Iterator[Cluster]:
    with scratch_namespace(installation, "e2e-examples") as scratch:
        yield scratch


def without_gpu(pool: Manifest) -> Manifest:
    """The same pool with the engine that needs neither a device nor a download."""
    runtime: dict[str, Any] = pool["spec"]["runtime"]
    del runtime["resources"]
    return pool | {"spec": pool["spec"] | {"runtime": runtime | {"engine": "stub", "device": "cpu"}}}


def test_the_example_starts_where_only_restricted_pods_are_admitted(cluster: Cluster) -> None:
    cluster.apply(without_gpu(yaml.safe_load(EXAMPLE.read_text())))
    cluster.wait_ready("bmp", "sdxl")
    cluster.delete("bmp", "sdxl")


def test_a_pod_holds_no_secret_of_ours(cluster: Cluster) -> None:
    cluster.apply(make.pool_manifest("guarded", cluster.namespace))
    cluster.wait_ready("bmp", "guarded")
    (pod,) = cluster.pods("guarded").values()
    code = "import os; print([os.path.exists(path) for path in ('/etc/lorapool', '/var/run/secrets/kubernetes.io')])"
    assert cluster.run("exec", pod, "--", "python3", "-c", code).strip() == "[False, False]"
    cluster.delete("bmp", "guarded")


def test_a_cache_folder_that_belongs_to_root_is_the_reason_that_the_pool_gives(installation: Cluster) -> None:
    runtime = {"engine": "stub", "device": "cpu", "cache": {"hostPath": {"path": "/var/lib/lorapool-e2e-cache"}}}
    # A restricted namespace would refuse the pod.
    with scratch_namespace(installation, "e2e-host-path", labels={}) as scratch:
        scratch.apply(make.pool_manifest("rooted", scratch.namespace, runtime=runtime))
        message = scratch.wait_reason("bmp", "rooted", "CacheNotWritable", "Degraded")
        assert "user 65532 cannot write" in message
        assert "belongs to user 0, mode 0755" in message
        assert "\n" not in message
        scratch.delete("bmp", "rooted")
