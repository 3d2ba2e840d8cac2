"""The objects of a pool, as manifests."""

import base64
import json
from typing import Any

import kubernetes_validate
import pytest
from tests import make
from tests.unit.operator import make as op

from lorapool_api.wire.config import RuntimeConfig
from lorapool_operator.manifests.deployment import Installation, deployment
from lorapool_operator.manifests.disruption import disruption_budget
from lorapool_operator.manifests.merge import merge
from lorapool_operator.manifests.path_roots import PathRoots, path_roots
from lorapool_operator.manifests.secret import control_secret, control_token
from lorapool_operator.manifests.service import service

HERE = Installation(image="runtime:1", hf_endpoint="http://hub:1", url_hosts=("files.example.org",))
KEY = b"k" * 32


def pod_spec(pool: Any, **more: Any) -> dict[str, Any]:
    spec: dict[str, Any] = deployment(pool, HERE, **more)["spec"]["template"]["spec"]
    return spec


def container(pool: Any) -> dict[str, Any]:
    (found,) = (c for c in pod_spec(pool)["containers"] if c["name"] == "runtime")
    return dict(found)


def env(pool: Any) -> dict[str, Any]:
    return {e["name"]: e.get("value", e.get("valueFrom")) for e in container(pool)["env"]}


def templated(**spec: Any) -> Any:
    return op.pool(template={"spec": spec})


@pytest.mark.parametrize(
    "manifest",
    [
        deployment(op.pool(), HERE),
        service(op.pool()),
        disruption_budget(op.pool()),
        control_secret(op.pool(), "token"),
    ],
    ids=lambda m: str(m["kind"]),
)
def test_manifests_fit_the_schema_and_belong_to_the_pool(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, "1.34", strict=True)
    meta = manifest["metadata"]
    assert meta["namespace"] == "default"
    assert meta["labels"]["lorapool.dev/pool"] == "shapes"
    (owner,) = meta["ownerReferences"]
    assert (owner["uid"], owner["controller"], owner["blockOwnerDeletion"]) == ("uid-default-shapes", True, False)


def test_the_runtime_is_told_all_by_one_variable() -> None:
    pool = op.pool(adapters={"maxRank": 7, "maxFileSize": "5Mi"}, serving={"maxPending": 3})
    config = RuntimeConfig.model_validate_json(env(pool)["LORAPOOL_RUNTIME_CONFIG"])
    assert (config.pool, config.engine, config.max_rank) == ("default/shapes", "stub", 7)
    assert (config.max_file_bytes, config.serving.max_pending) == (5 * 1024**2, 3)
    assert config.path_roots == ("/adapters",)
    assert config.url_hosts == ("files.example.org",)


def test_what_gateways_alone_honour_rolls_out_no_pod() -> None:
    assert env(op.pool(serving={"promptLoras": "Allow"})) == env(op.pool())
    assert env(op.pool(serving={"maxPending": 3})) != env(op.pool())


def test_a_pod_has_no_credentials_of_the_cluster_and_no_rights_on_its_node() -> None:
    """What the restricted Pod Security Standard asks for, and a read-only root besides."""
    spec, runtime = pod_spec(op.pool()), container(op.pool())
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert runtime["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {m["mountPath"] for m in runtime["volumeMounts"]} >= {"/tmp", "/var/cache/lorapool"}  # noqa: S108


def test_loading_for_hours_kills_no_pod() -> None:
    """Only readiness waits for the base; the other probes ask whether the process works."""
    runtime = container(op.pool())
    assert runtime["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert runtime["livenessProbe"]["httpGet"]["path"] == "/healthz"
    startup = runtime["startupProbe"]
    assert startup["httpGet"]["path"] == "/healthz"
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 600


def test_a_stopping_pod_may_finish_its_longest_request() -> None:
    assert pod_spec(op.pool(serving={"requestTimeoutSeconds": 1000}))["terminationGracePeriodSeconds"] > 1000


def test_the_hub_token_comes_from_the_secret_that_the_pool_names() -> None:
    hub = {"repo": "a/b", "tokenSecretRef": {"name": "hub", "key": "token"}}
    found = env(op.pool(model={"source": {"hub": hub}}))
    assert found["HF_TOKEN"] == {"secretKeyRef": {"name": "hub", "key": "token"}}
    assert found["HF_ENDPOINT"] == "http://hub:1"
    assert "HF_TOKEN" not in env(op.pool())


def test_images_come_from_the_pool_or_from_the_installation() -> None:
    own = op.pool(runtime={"engine": "stub", "device": "cpu", "image": "mine:2"})
    assert container(own)["image"] == "mine:2"
    assert container(op.pool())["image"] == "runtime:1"


def test_the_service_has_both_families_where_the_cluster_has_both() -> None:
    assert service(op.pool())["spec"]["ipFamilyPolicy"] == "PreferDualStack"


def test_the_control_token_is_for_the_pods_group_alone() -> None:
    spec = pod_spec(op.pool())
    (volume,) = (v for v in spec["volumes"] if v["name"] == "control")
    assert volume["secret"]["defaultMode"] == 0o440
    assert spec["securityContext"]["fsGroup"] == spec["securityContext"]["runAsGroup"]


@pytest.mark.parametrize(
    ("cache", "volume"),
    [
        ({}, {"emptyDir": {"sizeLimit": "100Gi"}}),
        ({"emptyDir": {}}, {"emptyDir": {"sizeLimit": "100Gi"}}),
        ({"emptyDir": {"sizeLimit": "40Gi"}}, {"emptyDir": {"sizeLimit": "40Gi"}}),
        ({"claim": {"claimName": "models"}}, {"persistentVolumeClaim": {"claimName": "models"}}),
        ({"hostPath": {"path": "/data"}}, {"hostPath": {"path": "/data", "type": "DirectoryOrCreate"}}),
    ],
)
def test_the_cache_is_where_the_pool_says(cache: Any, volume: Any) -> None:
    pool = op.pool(runtime={"engine": "stub", "device": "cpu", "cache": cache})
    (found,) = (v for v in pod_spec(pool)["volumes"] if v["name"] == "cache")
    assert found == {"name": "cache"} | volume


def test_resources_are_the_pools() -> None:
    limits = {"limits": {"nvidia.com/gpu": 1, "memory": "16Gi"}}
    pool = op.pool(runtime={"device": "cuda", "resources": limits})
    assert container(pool)["resources"] == limits
    assert "resources" not in container(op.pool())


def test_a_roll_out_waits_for_the_new_pod_unless_it_must_give_way() -> None:
    def unavailable(**more: bool) -> Any:
        return deployment(op.pool(), HERE, **more)["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"]

    assert unavailable() == 0
    assert unavailable(give_way=True) == 1


def test_the_pod_template_is_merged_by_names() -> None:
    pool = op.pool(
        template={
            "metadata": {"labels": {"team": "a", "lorapool.dev/pool": "hijacked"}, "annotations": {"x": "y"}},
            "spec": {
                "nodeSelector": {"gpu": "l4"},
                "tolerations": [{"key": "gpu", "operator": "Exists"}],
                "containers": [
                    {
                        "name": "runtime",
                        "env": [{"name": "A", "value": "1"}, {"name": "HF_ENDPOINT", "value": "other"}],
                    },
                    {"name": "sidecar", "image": "side:1"},
                ],
                "volumes": [{"name": "cache", "persistentVolumeClaim": {"claimName": "mine"}}],
            },
        }
    )
    template = deployment(pool, HERE)["spec"]["template"]
    spec = template["spec"]
    assert template["metadata"]["labels"]["team"] == "a"
    assert template["metadata"]["labels"]["lorapool.dev/pool"] == "shapes"  # else the selector loses its pods
    assert [c["name"] for c in spec["containers"]] == ["runtime", "sidecar"]
    assert spec["containers"][0]["args"] == ["runtime"]
    assert {"name": "HF_ENDPOINT", "value": "other"} in spec["containers"][0]["env"]
    assert spec["nodeSelector"] == {"gpu": "l4"}
    assert {"name": "cache", "persistentVolumeClaim": {"claimName": "mine"}} in spec["volumes"]
    kubernetes_validate.validate(deployment(pool, HERE), "1.34", strict=True)


@pytest.mark.parametrize(
    ("base", "over", "merged"),
    [
        ({"a": 1, "b": 2}, {"b": 3, "c": 4}, {"a": 1, "b": 3, "c": 4}),
        ({"a": 1, "b": 2}, {"a": None}, {"b": 2}),
        ({"m": {"x": 1}}, {"m": {"y": 2}}, {"m": {"x": 1, "y": 2}}),
        ({"args": ["a", "b"]}, {"args": ["c"]}, {"args": ["c"]}),
        (
            {"containers": [{"name": "a", "image": "1"}, {"name": "b"}]},
            {"containers": [{"name": "c"}, {"name": "a", "tty": True}]},
            {"containers": [{"name": "a", "image": "1", "tty": True}, {"name": "b"}, {"name": "c"}]},
        ),
        (
            {"volumeMounts": [{"mountPath": "/a", "name": "x"}]},
            {"volumeMounts": [{"mountPath": "/a", "name": "y"}, {"mountPath": "/b", "name": "x"}]},
            {"volumeMounts": [{"mountPath": "/a", "name": "y"}, {"mountPath": "/b", "name": "x"}]},
        ),
        (
            {"env": [{"name": "A", "value": "1"}]},
            {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}]},
            {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}]},
        ),
        ({"containers": [{"name": "a"}]}, {"containers": "nonsense"}, {"containers": "nonsense"}),
    ],
)
def test_merging(base: Any, over: Any, merged: Any) -> None:
    before = json.dumps([base, over])
    assert merge(base, over) == merged
    assert json.dumps([base, over]) == before, "merging must change neither"


Volumes = dict[str, dict[str, Any]]


def with_paths(mounts: dict[str, str], volumes: Volumes, named: list[str]) -> PathRoots:
    """Of a pool that mounts those volumes (name -> folder) and names these for paths."""
    spec = {
        "containers": [
            {"name": "runtime", "volumeMounts": [{"name": n, "mountPath": p} for n, p in mounts.items()]},
            {"name": "sidecar", "volumeMounts": [{"name": "files", "mountPath": "/of-sidecar"}]},
        ],
        "volumes": [{"name": name, **volume} for name, volume in volumes.items()],
    }
    return path_roots(op.pool(template={"spec": spec}, adapters={"pathVolumes": named}).spec)


def test_only_volumes_that_the_pool_names_are_roots_for_paths() -> None:
    mounts = {"files": "/a", "others": "/b"}
    volumes: Volumes = {"files": {"emptyDir": {}}, "others": {"emptyDir": {}}}
    assert with_paths(mounts, volumes, ["files"]) == PathRoots(("/a",))
    assert with_paths(mounts, volumes, []) == PathRoots()
    assert with_paths(mounts, volumes, ["control", "nobody"]) == PathRoots()
    assert path_roots(op.pool(template={}).spec) == PathRoots()
    assert (
        path_roots(op.pool(template={"spec": {"containers": [{"name": "runtime", "volumeMounts": 3}]}}).spec)
        == PathRoots()
    )


@pytest.mark.parametrize(
    "volume",
    [
        {"secret": {"secretName": "x"}},
        {"projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
        {"downwardAPI": {"items": []}},
        {"csi": {"driver": "secrets-store.csi.k8s.io"}},
    ],
    ids=lambda volume: next(iter(volume)),
)
def test_no_volume_of_credentials_is_a_root_for_paths(volume: dict[str, Any]) -> None:
    assert with_paths({"files": "/a"}, {"files": volume}, ["files"]) == PathRoots()


def test_what_is_mounted_below_a_root_is_hidden() -> None:
    mounts = {"files": "/a", "keys": "/a/keys/", "more": "/a/keys/more", "apart": "/ab"}
    volumes: Volumes = {"files": {"emptyDir": {}}, "keys": {"secret": {"secretName": "x"}}, "more": {"emptyDir": {}}}
    found = with_paths(mounts, volumes, ["files", "keys", "more"])
    assert found == PathRoots(("/a", "/a/keys/more"), ("/a/keys",))
    assert [found.allow(p) for p in ("/a/x", "/a/keys/more/x", "/a/keys/x", "/a/keys", "/ab/x", "/a")] == [
        *(True, True, False, True, False, False)
    ]
    assert with_paths({"files": "/var"}, {"files": {"emptyDir": {}}}, ["files"]).hidden == ("/var/cache/lorapool",)


def test_the_control_token_is_the_same_after_a_restart_and_another_for_another_pool() -> None:
    pool = op.pool()
    assert control_token(KEY, pool) == control_token(KEY, op.pool())
    assert control_token(KEY, pool) != control_token(KEY, op.pool("other"))
    assert control_token(KEY, pool) != control_token(b"x" * 32, pool)
    assert len(control_token(KEY, pool)) == 64
    data = control_secret(pool, "abc")["data"]
    assert base64.b64decode(data["token"]) == b"abc"


def test_pods_of_a_pool_that_was_made_again_start_anew() -> None:
    """They would hold the token of the one before."""
    first, again = op.pool(), make.pool()
    again = again.model_copy(update={"metadata": again.metadata.model_copy(update={"uid": "another"})})
    annotations = [
        deployment(p, HERE)["spec"]["template"]["metadata"]["annotations"]["lorapool.dev/pool-uid"]
        for p in (first, again)
    ]
    assert annotations == ["uid-default-shapes", "another"]
