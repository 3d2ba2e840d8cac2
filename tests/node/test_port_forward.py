"""`kubectl port-forward` connects to a pod's loopback address, which only a pod with a network of its own has."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from tests import make
from tests.e2e.cluster import Cluster, scratch_namespace, wait_until

SYSTEM = "lorapool-system"


@contextmanager
def forwarded(cluster: Cluster, target: str, port: int) -> Iterator[str]:
    """The address at which kubectl takes what goes to the port of the target."""
    command = [cluster.kubectl, "--kubeconfig", str(cluster.kubeconfig), "-n", cluster.namespace, "port-forward"]
    with subprocess.Popen([*command, target, f":{port}"], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            found = re.search(r"127\.0\.0\.1:(\d+)", said)
            assert found, said
            yield f"http://127.0.0.1:{found.group(1)}"
        finally:
            process.terminate()


def answers(address: str, path: str) -> bool:
    try:
        return httpx.get(f"{address}{path}", timeout=10).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize(
    ("target", "port", "path"),
    [
        ("service/lorapool-gateway", 80, "/v1/models"),
        ("deployment/lorapool-gateway", 8081, "/readyz"),
        ("deployment/lorapool-operator", 8080, "/readyz"),
    ],
)
def test_operator_and_gateway_are_reached_by_a_port_forward(
    installation: Cluster, target: str, port: int, path: str
) -> None:
    system = Cluster(installation.kubectl, installation.kubeconfig, installation.gateway, SYSTEM)
    with forwarded(system, target, port) as address:
        assert answers(address, path)


def test_a_runtime_pod_is_reached_by_a_port_forward(installation: Cluster) -> None:
    with scratch_namespace(installation, "e2e-forward") as scratch:
        scratch.apply(make.pool_manifest("shapes", scratch.namespace))
        scratch.wait_ready("bmp", "shapes")
        with forwarded(scratch, "deployment/shapes-runtime", 8080) as address:
            wait_until(lambda: answers(address, "/readyz"), "the runtime answers")
        scratch.delete("bmp", "shapes")
