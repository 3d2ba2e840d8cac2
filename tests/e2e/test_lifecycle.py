"""Pools come, change, lose their parts and go; nothing is lost."""

from collections.abc import Iterator

import pytest
from tests import files, make
from tests.e2e.cluster import Cluster, scratch_namespace, wait_until
from tests.e2e.images import is_made_by, pool_with_files

CONTENT = files.lora_file(seed=3)
FILES = {"one.safetensors": CONTENT, "two.safetensors": files.lora_file(seed=4)}


@pytest.fixture(scope="module")
def cluster(installation: Cluster) -> Iterator[Cluster]:
    with scratch_namespace(installation, "e2e-lifecycle") as scratch:
        yield scratch


@pytest.fixture(scope="module")
def pool(cluster: Cluster) -> str:
    """A pool whose adapter was there before it."""
    cluster.apply(make.adapter_manifest("one", cluster.namespace, pool="life"))
    cluster.apply(make.adapter_manifest("two", cluster.namespace, pool="life"))
    cluster.wait_reason("lora", "one", "PoolNotFound")
    for_files = {f"{name.removesuffix('.safetensors')}.safetensors": content for name, content in FILES.items()}
    cluster.apply(*pool_with_files("life", cluster.namespace, for_files))
    cluster.wait_ready("bmp", "life")
    return "life"


def served(cluster: Cluster) -> bool:
    return is_made_by(cluster, f"{cluster.namespace}/one", files.sha256(CONTENT))


def statuses(cluster: Cluster) -> dict[str, object]:
    """What the objects say, without what a restart of a pod may change."""
    return {
        name: [(c["type"], c["status"], c["reason"], c["lastTransitionTime"]) for c in item["status"]["conditions"]]
        for name in ("one", "two")
        for item in [cluster.get("lora", name)]
    }


def restart(cluster: Cluster, component: str) -> None:
    """Delete the pods of a part of the installation and wait until new ones are available."""
    everywhere = ("-A", "-l", f"app.kubernetes.io/component={component}")
    before = set(cluster.run("get", "pods", *everywhere, "-o", "name").split())
    assert before, f"no pod of the {component}"
    namespace = cluster.run("get", "deployments", *everywhere, "-o", "jsonpath={.items[0].metadata.namespace}")
    Cluster(cluster.kubectl, cluster.kubeconfig, cluster.gateway, namespace).run(
        "delete", "pods", "-l", f"app.kubernetes.io/component={component}", "--grace-period=0", "--force"
    )
    deployment = cluster.run("get", "deployments", *everywhere, "-o", "jsonpath={.items[0].metadata.name}")
    wait_until(
        lambda: not before & set(cluster.run("get", "pods", *everywhere, "-o", "name").split()), "the old pods are gone"
    )
    Cluster(cluster.kubectl, cluster.kubeconfig, cluster.gateway, namespace).run(
        "rollout", "status", f"deployment/{deployment}", "--timeout=60s"
    )


def test_an_adapter_that_waited_for_its_pool_joins_it(cluster: Cluster, pool: str) -> None:
    cluster.wait_ready("lora", "one", "two")
    wait_until(lambda: served(cluster), "it is served")


def test_killing_the_operator_changes_nothing(cluster: Cluster, pool: str) -> None:
    cluster.wait_ready("lora", "one", "two")
    before, pods = statuses(cluster), cluster.pods(pool)
    restart(cluster, "operator")
    assert served(cluster)
    cluster.apply(make.adapter_manifest("late", cluster.namespace, pool=pool, path="/adapters/two.safetensors"))
    cluster.wait_ready("lora", "late")  # the new operator works
    assert statuses(cluster) == before
    assert cluster.pods(pool) == pods
    cluster.delete("lora", "late")


def test_killing_the_gateway_loses_nothing(cluster: Cluster, pool: str) -> None:
    before = statuses(cluster)
    restart(cluster, "gateway")
    wait_until(lambda: served(cluster), "it is served by the new gateway")
    assert statuses(cluster) == before


def test_a_killed_runtime_pod_is_replaced_and_gets_its_adapters(cluster: Cluster, pool: str) -> None:
    before = cluster.pods(pool)
    cluster.run("delete", "pods", "-l", f"lorapool.dev/pool={pool}", "--grace-period=0", "--force")
    wait_until(
        lambda: bool(cluster.pods(pool)) and not before.keys() & cluster.pods(pool).keys(), "another pod is there"
    )
    cluster.wait_ready("bmp", pool)
    cluster.wait_ready("lora", "one", "two")
    wait_until(lambda: served(cluster), "the adapter is served again")


def test_scaling_up_brings_every_adapter_to_every_pod(cluster: Cluster, pool: str) -> None:
    cluster.run("scale", f"bmp/{pool}", "--replicas=2")
    wait_until(
        lambda: cluster.get("lora", "one")["status"].get("pods") == {"ready": 2, "total": 2, "copies": 2},
        "two pods serve the adapter",
        describe=lambda: cluster.get("lora", "one")["status"],
    )
    cluster.run("scale", f"bmp/{pool}", "--replicas=1")
    wait_until(lambda: len(cluster.pods(pool)) == 1, "one pod is left")


def test_a_namespace_with_an_idle_pool_goes_within_seconds(installation: Cluster) -> None:
    """Its pods end while the namespace controller waits.

    It looks 5 s after the deletion, 5 s later, and then, if pods were there both times, after half of their grace. A
    process that gives a card back takes seconds to end.
    """
    config, idle = pool_with_files("idle", "e2e-going", FILES)
    (container,) = idle["spec"]["runtime"]["podTemplate"]["spec"]["containers"]
    container["lifecycle"] = {"preStop": {"exec": {"command": ["sleep", "5"]}}}
    with scratch_namespace(installation, "e2e-going") as going:
        going.apply(config, idle)
        going.apply(make.adapter_manifest("one", going.namespace, pool="idle"))
        going.wait_ready("bmp", "idle")
        going.wait_ready("lora", "one")
        going.run("delete", "namespace", going.namespace, "--wait=false")
        wait_until(
            lambda: not going.run("get", "namespace", going.namespace, "--ignore-not-found"),
            "the namespace is gone",
            deadline_s=40,
            describe=lambda: going.run("get", "pods", "-o", "wide"),
        )


@pytest.mark.timeout(240)  # it imports torch
def test_a_base_that_cannot_be_loaded_degrades_the_pool_and_says_why(cluster: Cluster) -> None:
    manifest = make.pool_manifest("broken", cluster.namespace, model={"source": {"path": "/models/nothing-here"}})
    manifest["spec"]["runtime"] = {"engine": "diffusers", "device": "cpu"}
    manifest["spec"]["model"]["dtype"] = "float32"
    cluster.apply(manifest)
    message = cluster.wait_reason("bmp", "broken", "ModelLoadFailed", "Degraded", deadline_s=180)
    # The stub's image has none of the engine's libraries.
    assert "/models/nothing-here" in message or "No module named" in message
    cluster.delete("bmp", "broken")


def test_a_deleted_pool_takes_its_pods_along_and_its_adapters_wait(cluster: Cluster, pool: str) -> None:
    cluster.delete("bmp", pool)
    wait_until(lambda: not cluster.list("pods", f"lorapool.dev/pool={pool}"), "its pods are gone")
    for kind in ("deployments", "services", "secrets", "poddisruptionbudgets"):
        wait_until(lambda kind=kind: not cluster.list(kind, f"lorapool.dev/pool={pool}"), f"its {kind} are gone")  # type: ignore[misc]
    cluster.wait_reason("lora", "one", "PoolNotFound")
    cluster.delete("lora", "one")
    cluster.delete("lora", "two")
