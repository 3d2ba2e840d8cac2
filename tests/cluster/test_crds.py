"""What the API server itself says of manifests: schemas, CEL rules, columns, explain."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests import make

from lorapool_local.plane import Plane

CRDS = Path(__file__).parents[2] / "crds"
Kubectl = Any


class Refused(Exception):
    """kubectl's own words."""


@pytest.fixture(scope="module")
def kubectl(plane: Plane) -> Kubectl:
    def run(*args: str, stdin: object = None) -> str:
        done = subprocess.run(
            [plane.kubectl, "--kubeconfig", plane.kubeconfig, *args],
            input=json.dumps(stdin) if stdin is not None else None,
            capture_output=True,
            text=True,
            timeout=60,
        )
        if done.returncode:
            raise Refused(done.stderr)
        return done.stdout

    run("apply", "--server-side", "-f", str(CRDS))
    run("wait", "--for=condition=Established", "-f", str(CRDS), "--timeout=30s")
    return run


def pool_with(path: str, value: object) -> dict[str, Any]:
    """A pool manifest with one field, named by its dotted path in the spec, set."""
    manifest: dict[str, Any] = json.loads(json.dumps(make.pool_manifest("crd-test")))
    *parents, last = path.split(".")
    node = manifest["spec"]
    for parent in parents:
        node = node.setdefault(parent, {})
    node[last] = value
    return manifest


CONTROL = {"name": "style", "source": {"path": "/models/style"}}
REFUSED_POOLS = [
    ("model.source", {"path": "/m", "hub": {"repo": "a/b"}}, "exactly one of hub or path"),
    ("model.source", {}, "exactly one of hub or path"),
    ("model.source", {"path": "/models/../etc"}, "spec.model.source.path"),
    ("model.source", {"path": "models"}, "spec.model.source.path"),
    ("model", {"source": {"path": "/m/a.safetensors"}}, "config goes with a source that is one file"),
    ("model", {"source": {"path": "/m/a.gguf"}}, "config goes with a source that is one file"),
    ("model", {"source": {"path": "/m"}, "config": {"path": "/m"}}, "config goes with a source that is one file"),
    ("model", {"source": {"hub": {"repo": "a/b"}}, "file": "x.safetensors"}, "such a source needs it"),
    ("model", {"source": {"path": "/m"}, "file": "x.safetensors", "config": {"path": "/m"}}, "a source on the Hub"),
    ("model", {"source": {"hub": {"repo": "a/b"}}, "file": "../x.safetensors"}, "spec.model.file"),
    ("model.dtype", "float8", "spec.model.dtype"),
    ("model.quantization", {"method": "int3"}, "spec.model.quantization.method"),
    ("model.quantization", {"method": "int8", "skip": ["unet/x"]}, "spec.model.quantization.skip"),
    ("model", {"source": {"path": "/m"}, "offload": "Group", "quantization": {"method": "nf4"}}, "take int8 or fp8"),
    ("model.offload", "Some", "spec.model.offload"),
    ("model.controls", [CONTROL | {"kind": "IPAdapter"}], "file goes with the kinds ControlLora and IPAdapter"),
    ("model.controls", [CONTROL | {"file": "a.safetensors"}], "file goes with the kinds ControlLora and IPAdapter"),
    ("model.controls", [CONTROL | {"kind": "IPAdapter", "file": "../a.safetensors"}], "spec.model.controls[0].file"),
    ("model.controls", [CONTROL | {"imageEncoder": {"folder": "a"}}], "imageEncoder goes with the kind IPAdapter"),
    ("replica", 2, "replica"),
    ("replicas", -1, "spec.replicas"),
    ("scaling", {"minReplicas": 1}, "spec.scaling.maxReplicas"),
    ("scaling", {"minReplicas": 3, "maxReplicas": 2}, "minReplicas is at most maxReplicas"),
    ("scaling", {"maxReplicas": 0}, "spec.scaling.maxReplicas"),
    ("scaling", {"maxReplicas": 2, "targetPending": 0}, "spec.scaling.targetPending"),
    ("scaling", {"maxReplicas": 2, "idleSeconds": 0}, "spec.scaling.idleSeconds"),
    ("adapters.maxRank", -4, "spec.adapters.maxRank"),
    ("serving", {"stepCache": {}, "compile": "Default"}, "stepCache goes with compile: Off only"),
    ("serving.stepCache", {"threshold": 1.5}, "spec.serving.stepCache.threshold"),
    ("serving.safety", {}, "name a checker: url, or pipeline: true"),
    ("serving.safety", {"pipeline": False}, "name a checker: url, or pipeline: true"),
    ("serving.safety", {"url": "file:///etc/passwd"}, "spec.serving.safety.url"),
    ("serving.safety", {"url": "http://user:password@checker/"}, "spec.serving.safety.url"),
    ("serving.safety", {"url": "http://checker/", "timeoutSeconds": 0}, "spec.serving.safety.timeoutSeconds"),
    ("serving.safety", {"url": "http://checker/", "withoutVerdict": "Ask"}, "spec.serving.safety.withoutVerdict"),
    ("serving.stepCache", {"method": "Never"}, "spec.serving.stepCache.method"),
    ("adapters.namespaces", {"from": "Selector"}, "selector goes with from: Selector"),
    ("adapters.namespaces", {"from": "All", "selector": {}}, "selector goes with from: Selector"),
    ("adapters", {"identityPrefixes": ["team-loras"]}, "spec.adapters.identityPrefixes"),
    ("adapters", {"identityPrefixes": ["s3://"]}, "spec.adapters.identityPrefixes"),
    ("runtime.resources", {"limits": {"memory": "a lot"}}, "spec.runtime.resources.limits.memory"),
    ("runtime.cache", {"emptyDir": {}, "claim": {"claimName": "x"}}, "at most one of emptyDir, claim or hostPath"),
    ("runtime.cache", {"emptyDir": {"sizeLimit": "much"}}, "sizeLimit"),
    ("runtime.rollout", {"maxSurge": 0, "maxUnavailable": 0}, "maxSurge and maxUnavailable must not both be 0"),
    ("runtime.rollout", {"maxSurge": "0%", "maxUnavailable": 0}, "maxSurge and maxUnavailable must not both be 0"),
    ("runtime.rollout", {"maxSurge": "101%"}, "spec.runtime.rollout.maxSurge"),
    ("runtime.rollout", {"maxUnavailable": -1}, "spec.runtime.rollout.maxUnavailable"),
    ("serving", {"limits": {"steps": 5}, "defaults": {"steps": 6}}, "defaults.steps must not exceed limits.steps"),
    (
        "serving",
        {"limits": {"pixels": 4096}, "defaults": {"width": 128, "height": 64}},
        "must not exceed limits.pixels",
    ),
    ("serving", {"limits": {"side": 64}, "defaults": {"height": 72}}, "must not exceed limits.side"),
    ("serving.defaults", {"width": 100}, "width"),
]


@pytest.mark.parametrize(("path", "value", "words"), REFUSED_POOLS, ids=[f"{p}-{v}" for p, v, _ in REFUSED_POOLS])
def test_a_bad_pool_is_refused_and_the_field_named(kubectl: Kubectl, path: str, value: object, words: str) -> None:
    with pytest.raises(Refused) as refusal:
        kubectl("apply", "-f", "-", stdin=pool_with(path, value))
    assert words in str(refusal.value)


@pytest.mark.parametrize(
    "rollout", [{"maxSurge": 0}, {"maxSurge": "30%", "maxUnavailable": "0%"}, {"maxUnavailable": 0}]
)
def test_a_roll_out_may_do_without_surge_or_without_anybody_missing(kubectl: Kubectl, rollout: object) -> None:
    kubectl("apply", "--dry-run=server", "-f", "-", stdin=pool_with("runtime.rollout", rollout))


def test_stub_timings_need_the_stub_engine(kubectl: Kubectl) -> None:
    with pytest.raises(Refused, match="stub timings need engine: stub"):
        kubectl("apply", "-f", "-", stdin=pool_with("runtime", {"stub": {"stepMilliseconds": 1}}))


def test_a_quantized_base_is_not_merged_into(kubectl: Kubectl) -> None:
    pool = pool_with("model.quantization", {"method": "int8"})
    kubectl("create", "--dry-run=server", "-f", "-", stdin=pool)
    pool["spec"]["serving"] = {"mode": "Merged"}
    with pytest.raises(Refused, match=r"serving\.mode is Auto or Unmerged"):
        kubectl("create", "--dry-run=server", "-f", "-", stdin=pool)


def test_a_pool_has_a_name_that_its_service_can_have(kubectl: Kubectl) -> None:
    with pytest.raises(Refused, match="at most 50 characters"):
        kubectl("apply", "-f", "-", stdin=make.pool_manifest("a" * 51))


OBJECT = {"bucket": "loras", "key": "xl/a.safetensors"}
REFUSED_ADAPTERS = [
    (
        {"source": {"path": "/a/x.safetensors", "url": "https://h/x.safetensors"}},
        "exactly one of hub or url or path",
    ),
    ({"source": {"url": "ftp://h/x"}}, "spec.source.url"),
    ({"source": {"url": "https://user:secret@h/x"}}, "spec.source.url"),
    ({"source": {"hub": {"repo": "no-owner"}}}, "spec.source.hub.repo"),
    ({"source": {"hub": {"repo": "a/b", "file": "../x.safetensors"}}}, "spec.source.hub.file"),
    ({"source": {"hub": {"repo": "a/b", "file": "x.bin"}}}, "spec.source.hub.file"),
    (
        {"source": {"path": "/a/x.safetensors", "tokenSecretRef": {"name": "hf", "key": "token"}}},
        "tokenSecretRef goes with hub, url or civitai",
    ),
    ({"source": {"hub": {"repo": "a/b"}, "tokenSecretRef": {"name": "hf"}}}, "spec.source.tokenSecretRef.key"),
    ({"source": {"s3": {"bucket": "b", "key": "a.safetensors"}}}, "spec.source.s3.bucket"),
    ({"source": {"s3": {"bucket": "loras", "key": "../a.safetensors"}}}, "spec.source.s3.key"),
    ({"source": {"s3": {"bucket": "loras", "key": "a//b.safetensors"}}}, "spec.source.s3.key"),
    ({"source": {"s3": {**OBJECT, "endpoint": "http://user:secret@h"}}}, "spec.source.s3.endpoint"),
    ({"source": {"s3": {**OBJECT, "endpoint": "https://h/?x"}}}, "spec.source.s3.endpoint"),
    ({"source": {"s3": {**OBJECT, "region": "x.example.org/"}}}, "spec.source.s3.region"),
    (
        {"source": {"s3": {**OBJECT, "anonymous": True, "credentialsSecretRef": {"name": "keys"}}}},
        "anonymous and credentialsSecretRef exclude each other",
    ),
    ({"source": {"gcs": OBJECT, "s3": OBJECT}}, "exactly one of hub or url or path"),
    (
        {"source": {"azure": {"account": "a.b", "container": "loras", "key": OBJECT["key"]}}},
        "spec.source.azure.account",
    ),
    ({"source": {"oci": {"ref": "acme/pixel:1"}}}, "spec.source.oci.ref"),
    ({"source": {"oci": {"ref": "ghcr.io/acme/pixel"}}}, "ref needs a tag or a digest"),
    ({"source": {"oci": {"ref": "registry:5000/pixel"}}}, "ref needs a tag or a digest"),
    ({"source": {"oci": {"ref": "ghcr.io/acme/pixel:1", "file": "x.bin"}}}, "spec.source.oci.file"),
    ({"source": {"oci": {"ref": "ghcr.io/a/b:1", "pullSecretRef": {}}}}, "spec.source.oci.pullSecretRef.name"),
    ({"source": {"civitai": {}}}, "exactly one of air or modelVersion"),
    ({"source": {"civitai": {"air": "urn:air:sdxl:checkpoint:civitai:1@2"}}}, "spec.source.civitai.air"),
    ({"source": {"civitai": {"air": "urn:air:sdxl:lora:civitai:1@2+3", "file": "4"}}}, "air names a file already"),
    ({"sha256": "abc"}, "spec.sha256"),
    ({"scale": 1e9}, "spec.scale"),
    ({"modelIds": ["a b"]}, "spec.modelIds"),
    ({"rank": 4}, "rank"),
    ({"defaults": {"scheduler": "flash"}}, "spec.defaults.scheduler"),
    ({"defaults": {"steps": 0}}, "spec.defaults.steps"),
    ({"defaults": {"width": 512}}, "width"),
    ({"poolRef": None}, "poolRef can be left out where source is hub"),
    ({"source": {"stack": []}}, "spec.source.stack"),
    ({"source": {"stack": [{"name": "a"}, {"name": "a", "scale": 0.5}]}}, "Duplicate value"),
    ({"source": {"stack": [{"name": f"a{i}"} for i in range(9)]}}, "spec.source.stack"),
    ({"source": {"stack": [{"name": "a"}], "path": "/a/x.safetensors"}}, "exactly one of"),
    ({"source": {"stack": [{"name": "a"}]}, "pin": True}, "are of the members of a stack"),
    ({"source": {"stack": [{"name": "a"}]}, "sha256": "a" * 64}, "are of the members of a stack"),
    ({"source": {"stack": [{"name": "a"}]}, "rollout": {"canary": 5}}, "are of the members of a stack"),
    ({"rollout": {"canary": 0}}, "spec.rollout.canary"),
    ({"rollout": {}}, "spec.rollout.canary"),
    ({"source": {"stack": [{"name": "a"}]}, "follow": True}, "not with path or stack"),
    ({"source": {"path": "/a/x.safetensors"}, "follow": True}, "not with path or stack"),
    ({"source": {"hub": {"repo": "a/b"}}, "sha256": "a" * 64, "follow": True}, "without sha256"),
]


def test_blocks_that_come_one_by_one_are_not_skipped(kubectl: Kubectl) -> None:
    pool = pool_with("serving.stepCache", {})
    kubectl("apply", "--dry-run=server", "-f", "-", stdin=pool)
    pool["spec"]["model"]["offload"] = "Group"
    with pytest.raises(Refused, match="offload goes without stepCache"):
        kubectl("apply", "--dry-run=server", "-f", "-", stdin=pool)


@pytest.mark.parametrize(("spec", "words"), REFUSED_ADAPTERS, ids=[str(s) for s, _ in REFUSED_ADAPTERS])
def test_a_bad_adapter_is_refused_and_the_field_named(kubectl: Kubectl, spec: dict[str, Any], words: str) -> None:
    with pytest.raises(Refused) as refusal:
        kubectl("apply", "-f", "-", stdin=make.adapter_manifest("crd-test", **spec))
    assert words in str(refusal.value)


def test_an_adapter_may_move_to_another_pool_and_back_to_none(kubectl: Kubectl) -> None:
    on_the_hub: dict[str, Any] = {"source": {"hub": {"repo": "a/b"}}}
    for spec in ({"pool": "one"}, {"pool": "two"}, {"poolRef": None}):
        kubectl("apply", "-f", "-", stdin=make.adapter_manifest("crd-moves", **on_the_hub, **spec))
    kubectl("delete", "lora", "crd-moves", "--wait=false")


def test_a_pool_scales_like_a_deployment(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=make.pool_manifest("crd-scales"))
    kubectl("scale", "bmp/crd-scales", "--replicas=0")
    assert kubectl("get", "bmp", "crd-scales", "-o", "jsonpath={.spec.replicas}") == "0"
    kubectl("delete", "bmp", "crd-scales", "--wait=false")


def test_who_has_the_fields_of_a_status_is_not_kept_one_by_one(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=make.adapter_manifest("crd-owned"))
    said = {"status": {"summary": "Served", "pods": {"ready": 1, "total": 1, "copies": 1}}}
    kubectl("patch", "lora", "crd-owned", "--type=merge", "--subresource=status", "-p", json.dumps(said))
    meta = json.loads(kubectl("get", "lora", "crd-owned", "-o", "json", "--show-managed-fields"))["metadata"]
    assert [row["fieldsV1"] for row in meta["managedFields"] if row.get("subresource")] == [{"f:status": {}}]
    kubectl("delete", "lora", "crd-owned", "--wait=false")


@pytest.mark.parametrize(
    "field", ["loraadapter", "loraadapter.spec", "loraadapter.spec.source.hub", "bmp.spec.serving"]
)
def test_every_field_explains_itself(kubectl: Kubectl, field: str) -> None:
    text = kubectl("explain", field)
    assert "<no description>" not in text.partition("metadata\t")[0]


def test_both_kinds_are_in_one_category(kubectl: Kubectl) -> None:
    found = kubectl("api-resources", "--categories=lorapool", "-o", "name").split()
    assert sorted(found) == ["basemodelpools.lorapool.dev", "loraadapters.lorapool.dev"]


@pytest.mark.parametrize("folder", ["sdxl", "families", "scaling", "private", "demo", "demo/adapters"])
def test_the_examples_are_accepted(kubectl: Kubectl, folder: str) -> None:
    applied = kubectl("apply", "--dry-run=server", "--validate=strict", "-f", str(CRDS.parent / "examples" / folder))
    assert len(applied.splitlines()) >= len(list((CRDS.parent / "examples" / folder).glob("*.yaml")))
