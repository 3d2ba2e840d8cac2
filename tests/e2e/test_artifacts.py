"""From a private artifact in a registry, and from a gated version at Civitai, to an image."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import files, make
from tests.artifacts.civitai import CivitaiRelease, CivitaiUpload, FakeCivitai, civitai_serving
from tests.artifacts.registry import FakeRegistry, registry_serving
from tests.e2e.cluster import Cluster, scratch_namespace
from tests.e2e.embedded import NAMESPACE, embedded_installation
from tests.e2e.images import generate, pool_with_files

from lorapool_local.binaries import Binaries

CANARIES = PASSWORD, TOKEN = "canary-77fe-of-reader", "canary-12ab-of-account"
PUSHED, UPLOADED = files.lora_file("peft"), files.lora_file("kohya")
CONFIG = json.dumps({"peft_type": "LORA", "r": 4, "lora_alpha": 8}).encode()


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    """A repository that one user may pull from, its blobs in a storage elsewhere."""
    with registry_serving() as it:
        it.anonymous, it.users, it.redirects = False, {"reader": PASSWORD}, True
        it.push("team/loras", "1.0", {"style.safetensors": PUSHED, "adapter_config.json": CONFIG})
        yield it


@pytest.fixture
def civitai() -> Iterator[FakeCivitai]:
    """A version that is for accounts only."""
    with civitai_serving() as it:
        it.tokens = {TOKEN}
        it.versions[368189] = CivitaiRelease([CivitaiUpload(7, "Style v1.safetensors", UPLOADED)], gated=True)
        yield it


def adapters(namespace: str, registry: FakeRegistry) -> list[make.Manifest]:
    reference = f"{registry.host}/team/loras:1.0"
    sources = {
        "pushed": {"oci": {"ref": reference, "pullSecretRef": {"name": "pull"}}},
        "stranger": {"oci": {"ref": reference}},
        "uploaded": {
            "civitai": {"air": "urn:air:sdxl:lora:civitai:328553@368189"},
            "tokenSecretRef": {"name": "account", "key": "token"},
        },
        "nobody": {"civitai": {"modelVersion": 368189}},
    }
    return [make.adapter_manifest(name, namespace, source=source) for name, source in sources.items()]


def let_read(cluster: Cluster, *secrets: str) -> None:
    names = [f"--resource-name={secret}" for secret in secrets]
    cluster.run("create", "role", "reads", "--verb=get", "--resource=secrets", *names)
    account = f"{NAMESPACE}:lorapool-operator"
    cluster.run("create", "rolebinding", "reads", "--role=reads", f"--serviceaccount={account}")


@pytest.mark.timeout(300)  # it starts a plane of its own, and waits for pods twice
def test_private_artifacts_are_served_and_their_credentials_lie_nowhere(
    registry: FakeRegistry, civitai: FakeCivitai, tmp_path: Path, binaries: Binaries
) -> None:
    folder, hosts = tmp_path / "plane", ",".join((*registry.listed, *civitai.listed))
    values = ("--set", f"civitai.endpoint={civitai.url}", "--set", f"sources.urlHosts={{{hosts}}}")
    with (
        embedded_installation(folder, binaries, *values, "--set", "logLevel=DEBUG") as installed,
        scratch_namespace(installed, "e2e-artifacts") as cluster,
    ):
        let_read(cluster, "pull", "account")
        login = [f"--docker-server={registry.host}", "--docker-username=reader", f"--docker-password={PASSWORD}"]
        cluster.run("create", "secret", "docker-registry", "pull", *login)
        cluster.run("create", "secret", "generic", "account", f"--from-literal=token={TOKEN}")
        cluster.apply(*pool_with_files("shapes", cluster.namespace, {"other.safetensors": files.lora_file()}))
        cluster.apply(*adapters(cluster.namespace, registry))
        cluster.wait_ready("lora", "pushed", "uploaded")
        cluster.wait_reason("lora", "stranger", "SourceForbidden")
        cluster.wait_reason("lora", "nobody", "SourceForbidden")
        for name, content in {"pushed": PUSHED, "uploaded": UPLOADED}.items():
            assert generate(cluster, name).adapters[0]["sha256"] == files.sha256(content)
        resolved = cluster.get("lora", "pushed")["status"]["resolved"]
        assert resolved["revision"] == registry.tags["team/loras", "1.0"]
        assert cluster.get("lora", "uploaded")["status"]["resolved"]["revision"] == "368189"

        said = {kind: cluster.run("get", kind, "-o", "yaml") for kind in ("lora", "bmp", "pods", "events", "deploy")}
        for space in (cluster.namespace, NAMESPACE):
            own = Cluster(cluster.kubectl, cluster.kubeconfig, cluster.gateway, space)
            said |= {
                f"logs of {p['metadata']['name']}": own.run("logs", p["metadata"]["name"]) for p in own.list("pods")
            }
        kept = {str(file): file.read_bytes() for file in (folder / "pods").rglob("*") if file.is_file()}
        assert any(name.endswith(files.sha256(PUSHED)) for name in kept)
        secret = (*CANARIES, *registry.tokens)
        assert [name for name, text in said.items() if any(value in text for value in secret)] == []
        assert [name for name, content in kept.items() if any(value.encode() in content for value in secret)] == []
