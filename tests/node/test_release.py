"""The release while requests come in, and after it was removed and installed again."""

import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from tests import files, make
from tests.e2e.cluster import Cluster, scratch_namespace, wait_until
from tests.e2e.images import generate, is_made_by, pool_with_files
from tests.node.harness.install import INSTALL, NAMESPACE, SETTINGS

FILES = {"one.safetensors": files.lora_file(seed=21), "two.safetensors": files.lora_file(seed=22)}
KEY = "lorapool-operator-key"
GATEWAY_PODS = "app.kubernetes.io/component=gateway"


@pytest.fixture(scope="module")
def cluster(installation: Cluster) -> Iterator[Cluster]:
    """A pool with one adapter."""
    with scratch_namespace(installation, "e2e-release") as scratch:
        scratch.apply(*pool_with_files("shapes", scratch.namespace, FILES))
        scratch.apply(make.adapter_manifest("one", scratch.namespace))
        scratch.wait_ready("bmp", "shapes")
        scratch.wait_ready("lora", "one")
        yield scratch
        scratch.delete("bmp", "shapes")


@pytest.fixture(scope="module")
def system(installation: Cluster) -> Cluster:
    return Cluster(installation.kubectl, installation.kubeconfig, installation.gateway, NAMESPACE)


@contextmanager
def requests(*workers: Callable[[], str]) -> Iterator[list[str]]:
    """Each worker makes requests one after the other, from when the first of each was answered to the block's end.

    Yields what each request came to, which goes on growing.
    """
    answers: list[str] = []
    enough = threading.Event()
    begun = [threading.Event() for _ in workers]

    def work(ask: Callable[[], str], began: threading.Event) -> None:
        while not enough.is_set():
            answers.append(ask())
            began.set()

    with ThreadPoolExecutor(len(workers)) as pool:
        running = [pool.submit(work, ask, began) for ask, began in zip(workers, begun, strict=True)]
        try:
            assert all(began.wait(60) for began in begun)
            yield answers
        finally:
            enough.set()
        for worker in running:
            worker.result()


def outcome(ask: Callable[[], httpx.Response]) -> str:
    try:
        return str(ask().status_code)
    except httpx.TransportError as lost:
        return repr(lost)


def test_the_only_gateway_is_replaced_and_no_request_is_lost(cluster: Cluster, system: Cluster) -> None:
    def gateways() -> set[str]:
        return {pod["metadata"]["name"] for pod in system.list("pods", GATEWAY_PODS)}

    def ask(client: httpx.Client | None) -> Callable[[], str]:
        post = client.post if client else httpx.post
        body = {"inputs": "a red circle"}
        url = f"{cluster.gateway}/models/{cluster.namespace}/one"
        return lambda: outcome(lambda: post(url, json=body, timeout=60))

    (old,) = gateways()
    with httpx.Client() as kept, requests(ask(None), ask(None), ask(kept)) as answers:
        system.run("delete", "pod", old, "--wait=false")
        wait_until(lambda: len(gateways() - {old}) == 1 and old not in gateways(), "another has taken over", 100)
        before = len(answers)
        wait_until(lambda: len(answers) > before + 20, "requests go on")
    assert set(answers) == {"200"}


def run_helm(cluster: Cluster, *words: str) -> str:
    helm = shutil.which("helm")
    assert helm, "helm is not in PATH"
    command = [helm, "--kubeconfig", str(cluster.kubeconfig), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_releases_own_test_makes_an_image(cluster: Cluster) -> None:
    said = run_helm(cluster, "test", "lorapool", "--namespace", NAMESPACE, "--timeout=100s")
    assert "Succeeded" in said, said


def test_pods_that_ran_on_serve_at_once_after_a_reinstall(cluster: Cluster, system: Cluster) -> None:
    port = system.get("service", "lorapool-gateway")["spec"]["ports"][0]["nodePort"]
    pods, key = cluster.pods("shapes"), system.get("secret", KEY)["data"]
    run_helm(cluster, "uninstall", "lorapool", "--namespace", NAMESPACE, "--wait")
    run_helm(cluster, *INSTALL, *SETTINGS)
    same_port = [{"op": "replace", "path": "/spec/ports/0/nodePort", "value": port}]
    system.run("patch", "service", "lorapool-gateway", "--type=json", f"--patch={json.dumps(same_port)}")
    cluster.apply(make.adapter_manifest("two", cluster.namespace))
    # With another key the pods would refuse the operator until the kubelet has brought them other tokens: a minute.
    cluster.wait_ready("lora", "one", "two", deadline_s=20)
    sha256 = files.sha256(FILES["two.safetensors"])
    wait_until(lambda: is_made_by(cluster, f"{cluster.namespace}/two", sha256), "the new adapter is served")
    assert generate(cluster, f"{cluster.namespace}/one").status == 200
    assert cluster.pods("shapes") == pods
    assert system.get("secret", KEY)["data"] == key
