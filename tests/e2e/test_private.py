"""From a private repository to an image, and where the token has been meanwhile: nowhere."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import files, make
from tests.e2e.cluster import Cluster, scratch_namespace
from tests.e2e.embedded import NAMESPACE, embedded_installation
from tests.e2e.images import generate, pool_with_files

from lorapool_hub.access import Access
from lorapool_hub.app import serving
from lorapool_hub.server import running
from lorapool_local.binaries import Binaries

CANARY = "hf_canary2b7e51"
CONTENT = files.lora_file()


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[str]:
    """Two private repositories: one with a good file, one whose file no pod takes."""
    for name, content in {"good": CONTENT, "bad": files.lora_file(poison=float("nan"))}.items():
        folder = tmp_path / "repos" / name
        folder.mkdir(parents=True)
        (folder / "README.md").write_text("---\ntags: [lora]\n---\n")
        (folder / "pytorch_lora_weights.safetensors").write_bytes(content)
    seen_by = frozenset({CANARY})
    access = Access(private={"team/good": seen_by, "team/bad": seen_by})
    with running(serving(tmp_path / "repos", "team", access)) as url:
        yield url


def private(name: str, namespace: str, *, with_token: bool = True) -> make.Manifest:
    token = {"tokenSecretRef": {"name": "hub-token", "key": "token"}} if with_token else {}
    return make.adapter_manifest(name, namespace, source={"hub": {"repo": f"team/{name}"}} | token)


def logs(cluster: Cluster, namespace: str) -> str:
    own = Cluster(cluster.kubectl, cluster.kubeconfig, cluster.gateway, namespace)
    return "".join(own.run("logs", pod["metadata"]["name"]) for pod in own.list("pods"))


def test_a_private_adapter_is_served_and_its_token_lies_nowhere(hub: str, tmp_path: Path, binaries: Binaries) -> None:
    folder = tmp_path / "plane"
    values = ("--set", f"hub.endpoint={hub}", "--set", "logLevel=DEBUG")
    with (
        embedded_installation(folder, binaries, *values) as installed,
        scratch_namespace(installed, "e2e-private") as cluster,
    ):
        let_read(cluster, "hub-token")
        cluster.run("create", "secret", "generic", "hub-token", f"--from-literal=token={CANARY}")
        cluster.apply(*pool_with_files("shapes", cluster.namespace, {"other.safetensors": CONTENT}))
        stranger = private("good", cluster.namespace, with_token=False)
        stranger["metadata"]["name"] = "stranger"
        cluster.apply(private("good", cluster.namespace), private("bad", cluster.namespace), stranger)
        cluster.wait_ready("lora", "good")
        cluster.wait_reason("lora", "bad", "InvalidWeights")
        cluster.wait_reason("lora", "stranger", "SourceNotFound")
        assert generate(cluster, "good").adapters[0]["sha256"] == files.sha256(CONTENT)

        said = {
            kind: cluster.run("get", kind, "-o", "yaml") for kind in ("lora", "bmp", "pods", "events", "cm", "deploy")
        }
        said |= {"logs of pods": logs(installed, cluster.namespace), "logs of lorapool": logs(installed, NAMESPACE)}
        assert min(len(text) for text in said.values()) > 100
        kept = [file for file in (folder / "pods").rglob("*") if file.is_file()]
        assert any(file.name == files.sha256(CONTENT) for file in kept)
        assert [name for name, text in said.items() if CANARY in text] == []
        assert [file for file in kept if CANARY.encode() in file.read_bytes()] == []


def let_read(cluster: Cluster, secret: str) -> None:
    """What docs/adapters.md tells a namespace to run."""
    cluster.run("create", "role", "reads", "--verb=get", "--resource=secrets", f"--resource-name={secret}")
    account = f"{NAMESPACE}:lorapool-operator"
    cluster.run("create", "rolebinding", "reads", "--role=reads", f"--serviceaccount={account}")
