"""A release of the chart from its installation to its end, on a plane of its own: it brings cluster-wide objects.

The tests are one story: installed as it was before, upgraded, with TLS, removed, installed again.
"""

import base64
import json
import secrets
import shutil
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from tests import files, make
from tests.cluster.release import COMPONENT, NAMESPACE, Tools
from tests.e2e.images import pool_with_files
from tests.waiting import wait_until
from yarl import URL

from lorapool_api.names import ADAPTER_FINALIZER, GATEWAY, SERVING_PORT
from lorapool_common.signed.calls import Signer
from lorapool_common.signed.headers import signature
from lorapool_common.signed.keys import signing_key
from lorapool_local import plane as planes
from lorapool_local.binaries import Binaries
from lorapool_local.config import PlaneConfig
from lorapool_local.pki import load_or_create_authority

CHART = Path(__file__).parents[2] / "charts" / "lorapool"
# The last released chart, as it was packaged; before there was one: as it was before an Ingress and TLS came.
PREVIOUS = next((Path(__file__).parent / "previous").glob("lorapool-*.tgz"))
KEY = "lorapool-operator-key"
GATEWAY_KEY = "lorapool-gateway-key"
KEYS = (GATEWAY_KEY, KEY)
VALUES = ("--set", "watchNamespaces={default},gateway.apiKeysSecret=keys,gateway.drainSeconds=2")
KEPT = {"authorization": "Bearer sesame"}
KINDS = (
    "deployments,services,serviceaccounts,secrets,leases,pdb,roles,rolebindings,jobs,clusterroles,clusterrolebindings"
)


@pytest.fixture(scope="module")
def tools(binaries: Binaries, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tools]:
    with planes.running(tmp_path_factory.mktemp("plane"), binaries, PlaneConfig(), purge=True) as plane:
        yield Tools(plane)


@pytest.fixture(scope="module")
def release(tools: Tools) -> Tools:
    """The chart before this one, in a namespace that admits only restricted pods, with an API key."""
    tools.kubectl("create", "namespace", NAMESPACE)
    tools.kubectl("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted")
    tools.kubectl("-n", NAMESPACE, "create", "secret", "generic", "keys", "--from-literal=alice=sesame")
    tools.helm("install", "lorapool", str(PREVIOUS), *VALUES)
    tools.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": rights(tools)}))
    return tools


def rights(tools: Tools) -> list[dict[str, Any]]:
    """The rights of this chart, beside those of the one before: here its images run the present code."""
    words = ("template", "lorapool", str(CHART), *VALUES, "--namespace", NAMESPACE, "--kube-version", "1.34.0")
    made = yaml.safe_load_all(tools.run(tools.plane.helm, words))
    found = [item for item in made if item and item["kind"] in ("Role", "ClusterRole", "RoleBinding")]
    found = [item for item in found if item["metadata"]["labels"][COMPONENT] in ("operator", "gateway")]
    for item in found:
        item["metadata"]["name"] += "-present"
        item["metadata"].pop("labels")
        if "roleRef" in item:
            item["roleRef"]["name"] += "-present"
    return found


@contextmanager
def asked_throughout(url: str) -> Iterator[list[str]]:
    """Images are asked for from before the block to its end: what each request came to.

    By one client that connects anew each time, and one that keeps its connection.
    """
    answers: list[str] = []
    enough = threading.Event()

    def ask(client: httpx.Client) -> None:
        while not enough.is_set():
            try:
                answers.append(str(client.post(url, json={"inputs": "a cat"}).status_code))
            except httpx.TransportError as lost:
                answers.append(repr(lost))

    anew = httpx.Client(headers=KEPT, timeout=60, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))
    kept = httpx.Client(headers=KEPT, timeout=60, trust_env=False)
    with ThreadPoolExecutor(2) as threads, anew, kept:
        running = [threads.submit(ask, client) for client in (anew, kept)]
        try:
            wait_until(lambda: len(answers) > 4, "images come")
            yield answers
            seen = len(answers)
            wait_until(lambda: len(answers) > seen + 4, "images come still")
        finally:
            enough.set()
        for thread in running:
            thread.result()


@pytest.mark.timeout(300)  # it starts a plane and installs the release
def test_adapters_are_served_throughout_an_upgrade(release: Tools) -> None:
    cluster = release.cluster
    config, pool = pool_with_files("shapes", "default", {"one.safetensors": files.lora_file(seed=5)})
    pool["spec"]["runtime"]["stub"] = {"stepMilliseconds": 100}
    cluster.apply(config, pool, make.adapter_manifest("one"))
    cluster.wait_ready("bmp", "shapes")
    cluster.wait_ready("lora", "one")
    before = release.pods("gateway")
    with asked_throughout(f"{cluster.gateway}/models/one") as answers:
        release.helm("upgrade", "lorapool", str(CHART), "--reset-then-reuse-values")
        wait_until(lambda: not before & release.pods("gateway"), "the gateway before it has gone")
        # Where the operator now builds other pods they are rolled out meanwhile.
        cluster.run("rollout", "status", "deployment", "-l", "lorapool.dev/pool=shapes", "--timeout=60s")
    assert set(answers) == {"200"}
    cluster.wait_ready("lora", "one")


def key_of(tools: Tools, secret: str) -> bytes:
    return base64.b64decode(tools.get("secret", secret, "-n", NAMESPACE)["data"]["key"])


@pytest.mark.timeout(240)
def test_keys_are_replaced_while_requests_flow_and_none_is_refused(release: Tools) -> None:
    """As docs/security.md has it, both keys at once; then a pod takes what is signed with the new key alone."""
    cluster, before = release.cluster, set(release.cluster.pods("shapes"))
    old = key_of(release, GATEWAY_KEY)
    with asked_throughout(f"{cluster.gateway}/models/one") as answers:
        for secret in KEYS:
            data = {"key": secrets.token_bytes(32), "key.previous": key_of(release, secret)}
            patch = {"data": {name: base64.b64encode(value).decode() for name, value in data.items()}}
            release.kubectl("-n", NAMESPACE, "patch", "secret", secret, "--type=merge", "-p", json.dumps(patch))
        release.restart("gateway")
        seen = len(answers)
        wait_until(lambda: len(answers) > seen + 4, "the pods of before take what the new gateway signs")
        assert set(cluster.pods("shapes")) <= before
        release.restart("operator")
        wait_until(lambda: not before & set(cluster.pods("shapes")), "the pods are new", deadline_s=90)
        for secret in KEYS:
            drop = json.dumps([{"op": "remove", "path": "/data/key.previous"}])
            release.kubectl("-n", NAMESPACE, "patch", "secret", secret, "--type=json", "-p", drop)
        after = cluster.pods("shapes")
        release.restart("gateway")
        release.restart("operator")
    assert set(answers) == {"200"}
    assert cluster.pods("shapes") == after
    (pod,) = after.values()
    status = URL(f"http://{cluster.get('pod', pod)['status']['podIP']}:{SERVING_PORT}/v1/status")

    def answer(key: bytes) -> int:
        signed = signature(Signer([signing_key(key, GATEWAY)]), "GET", status)
        return httpx.get(str(status), headers=signed, trust_env=False).status_code

    assert (answer(old), answer(key_of(release, GATEWAY_KEY))) == (401, 200)


def test_the_gateway_serves_whoever_has_a_key(release: Tools) -> None:
    models = f"http://{release.gateway}/v1/models"
    assert httpx.get(models, trust_env=False).status_code == httpx.codes.UNAUTHORIZED
    assert httpx.get(models, trust_env=False, headers=KEPT).status_code == httpx.codes.OK


def test_nobody_is_granted_more_than_its_role_in_the_watched_namespaces(release: Tools) -> None:
    def may(account: str, verb: str, what: str, namespace: str = "default") -> bool:
        resource, _, group = what.partition(".")
        asked = {"verb": verb, "group": group, "resource": resource, "namespace": namespace}
        spec = {"user": f"system:serviceaccount:{NAMESPACE}:lorapool-{account}", "resourceAttributes": asked}
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
        answer = release.kubectl("create", "-o", "json", "-f", "-", stdin=json.dumps(review))
        return bool(json.loads(answer)["status"]["allowed"])

    assert may("operator", "create", "deployments.apps")
    assert not may("operator", "create", "deployments.apps", "kube-system")
    assert not any(may("operator", verb, "secrets") for verb in ("get", "list", "create", "patch", "update"))
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


@pytest.mark.timeout(240)
def test_an_upgrade_keeps_the_operators_key_brings_newer_crds_and_has_the_gateway_speak_tls(
    release: Tools, tmp_path: Path
) -> None:
    key = release.get("secret", KEY, "-n", NAMESPACE)["data"]
    newer = tmp_path / "lorapool"
    shutil.copytree(CHART, newer)
    file = newer / "files" / "crds" / "loraadapters.yaml"
    crd = yaml.safe_load(file.read_text())
    crd["spec"]["names"]["shortNames"].append("newer")
    file.write_text(yaml.safe_dump(crd, sort_keys=False))
    authority = load_or_create_authority(tmp_path)
    pair = authority.issue("gateway", "gateway", addresses=[release.gateway.rpartition(":")[0]])
    secret = ("-n", NAMESPACE, "create", "secret", "tls", "gateway-tls")
    release.kubectl(*secret, f"--cert={pair.certificate}", f"--key={pair.key}")
    release.helm("upgrade", "lorapool", str(newer), "--reuse-values", "--set", "gateway.tls.secretName=gateway-tls")
    assert release.get("secret", KEY, "-n", NAMESPACE)["data"] == key
    assert "newer" in release.get("crd", "loraadapters.lorapool.dev")["spec"]["names"]["shortNames"]
    trust = ssl.create_default_context(cafile=authority.certificate_file)
    reply = httpx.get(f"https://{release.gateway}/v1/models", verify=trust, headers=KEPT, trust_env=False)
    assert [model["id"] for model in reply.json()["data"] if "one" in model["id"]]


def test_the_releases_own_test_makes_an_image_with_tls_and_a_key_and_leaves_nothing(release: Tools) -> None:
    said = release.helm_test()
    assert "Phase:          Succeeded" in said, said
    left = release.get("bmp,lora,configmaps", "-A", "-l", f"{COMPONENT}=self-test")["items"]
    assert left == []


def test_an_uninstalled_release_leaves_pools_adapters_and_the_key_and_nothing_that_holds_them(release: Tools) -> None:
    adapter = make.adapter_manifest("held")
    adapter["metadata"]["finalizers"] = [ADAPTER_FINALIZER]
    release.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(adapter))
    key = release.get("secret", KEY, "-n", NAMESPACE)["data"]
    release.helm("uninstall", "lorapool")
    assert "finalizers" not in release.get("lora", "held")["metadata"]
    left = release.get(KINDS, "-A", "-l", "app.kubernetes.io/instance=lorapool")["items"]
    assert sorted((item["kind"], item["metadata"]["name"]) for item in left) == [("Secret", key) for key in KEYS]
    release.kubectl("delete", "lora", "held", "--timeout=20s")
    # Pods that ran on know the next installation by what was derived from the same key.
    release.helm("install", "lorapool", str(CHART), *VALUES)
    assert release.get("secret", KEY, "-n", NAMESPACE)["data"] == key
