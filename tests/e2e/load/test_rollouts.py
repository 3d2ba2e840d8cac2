"""A pool is rolled out, and then deleted, while it is asked: no request fails."""

from collections.abc import Iterator

import pytest
from tests import files, make
from tests.e2e.cluster import Cluster, scratch_namespace, wait_until
from tests.e2e.images import generate, pool_with_files
from tests.e2e.load.load import Load

CONTENT = files.lora_file(seed=51)
SHA256 = files.sha256(CONTENT)
POOL = "replaced"


@pytest.fixture(scope="module")
def cluster(installation: Cluster) -> Iterator[Cluster]:
    """A pool of one pod that takes a second for an image, and an adapter."""
    with scratch_namespace(installation, "e2e-rollouts") as scratch:
        config, pool = pool_with_files(POOL, scratch.namespace, {"one.safetensors": CONTENT})
        pool["spec"]["runtime"]["stub"] = {"stepMilliseconds": 500}
        scratch.apply(config, pool, make.adapter_manifest("one", scratch.namespace, pool=POOL))
        scratch.wait_ready("bmp", POOL)
        scratch.wait_ready("lora", "one")
        wait_until(lambda: generate(scratch, model(scratch), check=False).status == 200, "the gateway knows it")
        yield scratch


def model(cluster: Cluster) -> str:
    return f"{cluster.namespace}/one"


def is_rolled_out(cluster: Cluster, before: dict[str, str]) -> bool:
    pods = cluster.pods(POOL)
    return len(pods) == 1 and not before.keys() & pods.keys()


def test_no_request_fails_while_pods_are_replaced(cluster: Cluster) -> None:
    before = cluster.pods(POOL)
    with Load(cluster, (model(cluster), model(cluster))).running() as load:
        load.reach(model(cluster), lambda one: one.sha256 == SHA256, "the old pod")
        change = '{"spec":{"serving":{"maxPending":32}}}'
        cluster.run("patch", "bmp", POOL, "--type=merge", "-p", change)
        wait_until(lambda: is_rolled_out(cluster, before), "the pod is another", describe=lambda: cluster.pods(POOL))
        cluster.wait_ready("bmp", POOL)
        load.reach(model(cluster), lambda one: one.sha256 == SHA256, "the new pod")
    assert load.failures(model(cluster)) == []
    assert {one.sha256 for one in load.answered} == {SHA256}
    assert cluster.condition("bmp", POOL, "Progressing")["reason"] == "Stable"


def test_a_pool_that_is_deleted_finishes_what_runs(cluster: Cluster) -> None:
    """Two clients ask without a pause for what takes a second, so something always runs."""
    with Load(cluster, (model(cluster), model(cluster))).running() as load:
        load.reach(model(cluster), lambda one: one.sha256 == SHA256, "the pod")
        cluster.delete("bmp", POOL, "--wait=false")
        wait_until(lambda: not cluster.pods(POOL), "the pod ends")
        load.reach(model(cluster), lambda one: one.failure.startswith("404"), "nobody")
    # For a moment the gateway knows the pool still, and from the adapter that it is gone.
    refused = {why[:3] for why in load.failures(model(cluster))}
    assert refused <= {"404", "422"}, "none is lost, and none is left to wait"
    assert {one.sha256 for one in load.answered if not one.failure} == {SHA256}
    cluster.wait_reason("lora", "one", "PoolNotFound")
