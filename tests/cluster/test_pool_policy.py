"""What pools may ask for of their pods: the chart's ValidatingAdmissionPolicy, on a real API server."""

import json
import subprocess
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from tests import make
from tests.cluster.operator.harness import CHART, install_crds
from tests.e2e.cluster import wait_until

from lorapool_local.plane import Plane

pytestmark = pytest.mark.plane

Manifest = dict[str, Any]
Asks = Callable[..., str]
Edits = Callable[[Manifest], str]
CONTAINER = {"name": "runtime"}


def pod(**spec: Any) -> Manifest:
    return {"podTemplate": {"spec": spec}}


def container(**context: Any) -> Manifest:
    return pod(containers=[CONTAINER | {"securityContext": context}])


REFUSED: list[tuple[str, Manifest]] = [
    ("hostNetwork", pod(hostNetwork=True)),
    ("hostPID", pod(hostPID=True)),
    ("privileged", container(privileged=True)),
    ("privileged", pod(initContainers=[{"name": "first", "securityContext": {"allowPrivilegeEscalation": True}}])),
    ("capabilities", container(capabilities={"add": ["SYS_ADMIN"]})),
    ("hostPath", pod(volumes=[{"name": "root", "hostPath": {"path": "/"}}])),
    ("hostPath", {"cache": {"hostPath": {"path": "/var/cache"}}}),
    ("ServiceAccount", pod(serviceAccountName="admin")),
    ("ServiceAccount", pod(serviceAccount="admin")),
    ("tokens of ServiceAccounts", pod(automountServiceAccountToken=True)),
    (
        "tokens of ServiceAccounts",
        pod(volumes=[{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]),
    ),
]
TAKEN: list[Manifest] = [
    {},
    pod(nodeSelector={"gpu": "a"}, hostNetwork=False, serviceAccountName="loras-reader"),
    container(capabilities={"drop": ["ALL"]}, privileged=False),
    pod(volumes=[{"name": "files", "configMap": {"name": "files"}}]),
]


def kubectl(plane: Plane, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [str(plane.kubectl), "--kubeconfig", str(plane.kubeconfig), *words]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60)


def policy(plane: Plane, namespace: str, *values: str) -> str:
    """As the chart has it for this namespace alone."""
    sets = ("--set", f"watchNamespaces={{{namespace}}},fullnameOverride={namespace}", *values)
    words = ("template", "it", str(CHART), "--kube-version", "1.34.0", *sets)
    done = subprocess.run([str(plane.helm), *words], capture_output=True, text=True, check=True, timeout=60)
    found = [d for d in yaml.safe_load_all(done.stdout) if d and d["kind"].startswith("ValidatingAdmissionPolicy")]
    assert len(found) == 2
    return yaml.safe_dump_all(found)


def pool_with(runtime: Manifest, name: str, namespace: str) -> str:
    return json.dumps(make.pool_manifest(name, namespace, runtime={"engine": "stub", "device": "cpu"} | runtime))


@pytest.fixture(scope="module")
def namespace() -> str:
    return f"policy-{uuid.uuid4().hex[:6]}"


@pytest.fixture(scope="module")
def asks(plane: Plane, namespace: str) -> Iterator[Asks]:
    """Asks for a pool with that runtime: what kubectl says, once the policy is in force. The pool `older` was there
    before it."""
    install_crds(plane.kubectl, plane.kubeconfig)
    made = policy(plane, namespace, "--set", "poolPolicy.serviceAccounts={loras-reader}")
    assert kubectl(plane, "create", "namespace", namespace).returncode == 0
    older = pool_with(pod(hostNetwork=True), "older", namespace)
    assert kubectl(plane, "create", "-f", "-", stdin=older).returncode == 0
    assert kubectl(plane, "apply", "-f", "-", stdin=made).returncode == 0

    def ask(runtime: Manifest) -> str:
        spec = pool_with(runtime, "shapes", namespace)
        done = kubectl(plane, "create", "--dry-run=server", "-f", "-", stdin=spec)
        return done.stdout + done.stderr

    try:
        wait_until(lambda: "not allowed" in ask(pod(hostNetwork=True)), "the policy is in force")
        yield ask
    finally:
        kubectl(plane, "delete", "--ignore-not-found", "-f", "-", stdin=made)
        kubectl(plane, "delete", "namespace", namespace, "--wait=false")


@pytest.fixture
def edits(plane: Plane, namespace: str, asks: Asks) -> Edits:
    """Edits the pool that was there before the policy, and keeps it as it is: what kubectl says."""

    def edit(patch: Manifest) -> str:
        words = ("patch", "bmp", "older", "-n", namespace, "--dry-run=server", "--type=merge", "-p", json.dumps(patch))
        done = kubectl(plane, *words)
        return done.stdout + done.stderr

    return edit


@pytest.mark.parametrize(("word", "runtime"), REFUSED)
def test_a_pool_gets_no_pods_that_its_owner_may_not_have(asks: Asks, word: str, runtime: Manifest) -> None:
    said = asks(runtime)
    assert word in said
    assert "poolPolicy of lorapool's chart" in said


@pytest.mark.parametrize("runtime", TAKEN)
def test_what_is_usual_is_taken(asks: Asks, runtime: Manifest) -> None:
    assert "created (server dry run)" in asks(runtime)


@pytest.mark.parametrize(
    "patch",
    [
        {"spec": {"replicas": 3}},
        {"spec": {"adapters": {"copies": 3}}},
        {"metadata": {"labels": {"team": "a"}, "finalizers": ["example.org/kept"]}},
        {"spec": {"runtime": {"podTemplate": {"spec": {"hostNetwork": None}}}}},
    ],
)
def test_a_pool_from_before_the_policy_can_be_edited_and_mended(edits: Edits, patch: Manifest) -> None:
    assert "basemodelpool.lorapool.dev/older patched" in edits(patch)


@pytest.mark.parametrize(
    "runtime", [{"image": "example.org/another:1"}, {"podTemplate": {"spec": {"hostPID": True}}}, pod(nodeName="a")]
)
def test_an_edit_of_its_runtime_must_be_one_that_is_allowed(edits: Edits, runtime: Manifest) -> None:
    said = edits({"spec": {"runtime": runtime}})
    assert "hostNetwork, hostPID and hostIPC are not allowed" in said
