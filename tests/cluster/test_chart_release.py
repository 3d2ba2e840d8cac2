"""A release of the chart from its installation to its end, on a plane of its own: it brings cluster-wide objects."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from tests import make

from lorapool_api.names import ADAPTER_FINALIZER
from lorapool_local import plane as planes
from lorapool_local.binaries import Binaries
from lorapool_local.config import PlaneConfig

CHART = Path(__file__).parents[2] / "charts" / "lorapool"
NAMESPACE = "lorapool-system"
KEY = "lorapool-operator-key"
VALUES = ("--set", "watchNamespaces={default},gateway.apiKeysSecret=keys,gateway.drainSeconds=0")
KINDS = (
    "deployments,services,serviceaccounts,secrets,leases,pdb,roles,rolebindings,jobs,clusterroles,clusterrolebindings"
)


@dataclass(frozen=True)
class Tools:
    """kubectl and helm on the plane."""

    plane: planes.Plane

    def kubectl(self, *words: str, stdin: str | None = None) -> str:
        return self._run(self.plane.kubectl, words, stdin)

    def helm(self, *words: str) -> str:
        return self._run(self.plane.helm, (*words, "--namespace", NAMESPACE, "--wait", "--timeout", "90s"), None)

    def get(self, *words: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.kubectl("get", *words, "-o", "json"))
        return found

    def _run(self, program: Path, words: tuple[str, ...], stdin: str | None) -> str:
        command = [str(program), "--kubeconfig", str(self.plane.kubeconfig), *words]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=110)
        assert done.returncode == 0, f"{program.name} {' '.join(words)}: {done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def tools(binaries: Binaries, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tools]:
    with planes.running(tmp_path_factory.mktemp("plane"), binaries, PlaneConfig(), purge=True) as plane:
        yield Tools(plane)


@pytest.fixture(scope="module")
def release(tools: Tools) -> Tools:
    """The chart, in a namespace that admits only what meets the restricted standard, with an API key."""
    tools.kubectl("create", "namespace", NAMESPACE)
    tools.kubectl("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted")
    tools.kubectl("-n", NAMESPACE, "create", "secret", "generic", "keys", "--from-literal=alice=sesame")
    tools.helm("install", "lorapool", str(CHART), *VALUES)
    return tools


def test_the_gateway_serves_whoever_has_a_key(release: Tools) -> None:
    spec = release.get("service", "lorapool-gateway", "-n", NAMESPACE)["spec"]
    models = f"http://{spec['clusterIP']}:{spec['ports'][0]['port']}/v1/models"
    assert httpx.get(models, trust_env=False).status_code == httpx.codes.UNAUTHORIZED
    assert httpx.get(models, trust_env=False, headers={"authorization": "Bearer sesame"}).json()["data"] == []


def test_nobody_is_granted_more_than_its_role_in_the_watched_namespaces(release: Tools) -> None:
    def may(account: str, verb: str, what: str, namespace: str = "default") -> bool:
        asked = {"verb": verb, "resource": what, "namespace": namespace}
        spec = {"user": f"system:serviceaccount:{NAMESPACE}:lorapool-{account}", "resourceAttributes": asked}
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
        answer = release.kubectl("create", "-o", "json", "-f", "-", stdin=json.dumps(review))
        return bool(json.loads(answer)["status"]["allowed"])

    assert may("operator", "create", "secrets")
    assert not may("operator", "get", "secrets")
    assert not may("operator", "create", "secrets", "kube-system")
    assert not may("operator", "delete", "pods")
    assert may("gateway", "list", "pods")
    assert not may("gateway", "list", "pods", NAMESPACE)
    assert not may("gateway", "get", "secrets")


def test_the_doctor_finds_nothing_wrong_and_then_the_operator_that_is_gone(release: Tools) -> None:
    def doctor() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "lorapool_common.cli", "doctor", "--kubeconfig", str(release.plane.kubeconfig)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    done = doctor()
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    release.kubectl("-n", NAMESPACE, "scale", "deployment", "lorapool-operator", "--replicas=0")
    done = doctor()
    release.kubectl("-n", NAMESPACE, "scale", "deployment", "lorapool-operator", "--replicas=1")
    assert done.returncode == 1
    assert "operator lorapool-system/lorapool-operator: is scaled to 0" in done.stdout
    assert "-> kubectl scale deployment lorapool-operator -n lorapool-system --replicas=1" in done.stdout


def test_an_upgrade_keeps_the_operators_key_and_brings_newer_crds(release: Tools, tmp_path: Path) -> None:
    key = release.get("secret", KEY, "-n", NAMESPACE)["data"]
    newer = tmp_path / "lorapool"
    shutil.copytree(CHART, newer)
    file = newer / "files" / "crds" / "loraadapters.yaml"
    crd = yaml.safe_load(file.read_text())
    crd["spec"]["names"]["shortNames"].append("newer")
    file.write_text(yaml.safe_dump(crd, sort_keys=False))
    release.helm("upgrade", "lorapool", str(newer), "--reuse-values")
    assert release.get("secret", KEY, "-n", NAMESPACE)["data"] == key
    assert "newer" in release.get("crd", "loraadapters.lorapool.dev")["spec"]["names"]["shortNames"]


def test_an_uninstalled_release_leaves_pools_adapters_and_the_key_and_nothing_that_holds_them(release: Tools) -> None:
    adapter = make.adapter_manifest("held")
    adapter["metadata"]["finalizers"] = [ADAPTER_FINALIZER]
    release.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(adapter))
    key = release.get("secret", KEY, "-n", NAMESPACE)["data"]
    release.helm("uninstall", "lorapool")
    assert "finalizers" not in release.get("lora", "held")["metadata"]
    left = release.get(KINDS, "-A", "-l", "app.kubernetes.io/instance=lorapool")["items"]
    assert [(item["kind"], item["metadata"]["name"]) for item in left] == [("Secret", KEY)]
    release.kubectl("delete", "lora", "held", "--timeout=20s")
    # Pods that ran on know the next installation by what was derived from the same key.
    release.helm("install", "lorapool", str(CHART), *VALUES)
    assert release.get("secret", KEY, "-n", NAMESPACE)["data"] == key
