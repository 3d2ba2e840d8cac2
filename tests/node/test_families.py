"""On a cluster of both families, pods and Services are reached at an address of each."""

import json
from collections.abc import Iterator

import httpx
import pytest

from tests import make
from tests.e2e.cluster import Cluster, Manifest, scratch_namespace, wait_until

NODE_ADDRESSES = "jsonpath={.items[0].status.addresses[?(@.type=='InternalIP')].address}"


@pytest.fixture(scope="module")
def cluster(installation: Cluster) -> Iterator[Cluster]:
    families = len(installation.run("get", "nodes", "-o", NODE_ADDRESSES).split())
    if families < 2:
        pytest.skip("the node has addresses of one family")
    with scratch_namespace(installation, "e2e-families") as scratch:
        scratch.apply(make.pool_manifest("shapes", scratch.namespace))
        scratch.wait_ready("bmp", "shapes")
        yield scratch
        scratch.delete("bmp", "shapes")


def answers(address: str, port: int, path: str) -> bool:
    host = f"[{address}]" if ":" in address else address
    try:
        return httpx.get(f"http://{host}:{port}{path}", timeout=10).status_code == 200
    except httpx.TransportError:
        return False


def addresses(pod: Manifest) -> list[str]:
    return [entry["ip"] for entry in pod["status"]["podIPs"]]


def test_every_pod_answers_at_both_of_its_addresses(cluster: Cluster) -> None:
    (runtime,) = cluster.list("pods", "lorapool.dev/pool=shapes")
    ports = {"gateway": 8081, "operator": 8080}
    listed: Manifest = json.loads(cluster.run("get", "pods", "-A", "-l", "app.kubernetes.io/part-of", "-o", "json"))
    of_release = {pod["metadata"]["labels"]["app.kubernetes.io/component"]: pod for pod in listed["items"]}
    pods = [(runtime, 8080), *((of_release[part], port) for part, port in ports.items())]
    for pod, port in pods:
        assert len(addresses(pod)) == 2
        assert all(answers(address, port, "/healthz") for address in addresses(pod))


def test_services_have_an_address_of_each_family_and_lead_to_their_pods(cluster: Cluster) -> None:
    gateway = json.loads(cluster.run("get", "service", "lorapool-gateway", "-n", "lorapool-system", "-o", "json"))
    for service, port, path in (
        (cluster.get("service", "shapes-runtime"), 8080, "/readyz"),
        (gateway, 80, "/v1/models"),
    ):
        assert len(service["spec"]["clusterIPs"]) == 2
        for address in service["spec"]["clusterIPs"]:
            wait_until(lambda a=address, p=port, at=path: answers(a, p, at), f"{address} answers")  # type: ignore[misc]
