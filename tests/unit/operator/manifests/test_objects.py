"""The objects of a pool, as manifests."""

from typing import Any

import kubernetes_validate
import pytest
from tests import make
from tests.unit.operator import make as op

from lorapool_api.wire.config import RuntimeConfig, TrustedKeys
from lorapool_operator.manifests.deployment import Installation, deployment
from lorapool_operator.manifests.disruption import disruption_budget
from lorapool_operator.manifests.network import network_policy
from lorapool_operator.manifests.service import service
from lorapool_operator.pods.pool_token import pool_token
from lorapool_operator.settings import NetworkPeers

HERE = Installation(image="runtime:1", hf_endpoint="http://hub:1", url_hosts=("files.example.org",))
KEY = b"k" * 32
EVERYBODY: dict[str, Any] = {"namespaceSelector": {}}


def pod_spec(pool: Any, **more: Any) -> dict[str, Any]:
    spec: dict[str, Any] = deployment(pool, HERE, **more)["spec"]["template"]["spec"]
    return spec


def container(pool: Any) -> dict[str, Any]:
    (found,) = (c for c in pod_spec(pool)["containers"] if c["name"] == "runtime")
    return dict(found)


def env(pool: Any) -> dict[str, Any]:
    return {e["name"]: e.get("value", e.get("valueFrom")) for e in container(pool)["env"]}


@pytest.mark.parametrize(
    "manifest",
    [
        deployment(op.pool(), HERE),
        service(op.pool()),
        disruption_budget(op.pool()),
        network_policy(op.pool(), NetworkPeers(gateways=(EVERYBODY,), operators=(EVERYBODY,))),
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


def test_a_pod_holds_no_secret_of_ours_and_knows_whose_calls_to_take() -> None:
    assert not [v for v in pod_spec(op.pool())["volumes"] if "secret" in v]
    trusting = Installation(image="runtime:1", trusted=TrustedKeys(operators=("o",), gateways=("g",)))
    (container,) = deployment(op.pool(), trusting)["spec"]["template"]["spec"]["containers"]
    config = RuntimeConfig.model_validate_json(container["env"][0]["value"])
    assert (config.trusted.operators, config.trusted.gateways) == (("o",), ("g",))


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


@pytest.mark.parametrize(
    ("rollout", "gives_way", "strategy"),
    [
        ({}, 0, (1, 0)),
        ({}, 2, (1, 2)),
        ({"maxSurge": "50%"}, 0, ("50%", 0)),
        ({"maxSurge": 0}, 0, (0, 1)),
        ({"maxSurge": "0%"}, 2, ("0%", 2)),
        ({"maxUnavailable": 0}, 1, (1, 0)),
        ({"maxSurge": 2, "maxUnavailable": "25%"}, 0, (2, "25%")),
    ],
)
def test_a_roll_out_waits_for_the_new_pod_unless_it_must_give_way(
    rollout: dict[str, Any], gives_way: int, strategy: tuple[Any, Any]
) -> None:
    """What the pool says itself stands."""
    pool = op.pool(runtime={"engine": "stub", "device": "cpu", "rollout": rollout})
    made = deployment(pool, HERE, unavailable=gives_way)
    kubernetes_validate.validate(made, "1.34", strict=True)
    found = made["spec"]["strategy"]["rollingUpdate"]
    assert (found["maxSurge"], found["maxUnavailable"]) == strategy


def test_a_pool_says_how_long_a_roll_out_may_take() -> None:
    pool = op.pool(runtime={"rollout": {"progressDeadlineSeconds": 90}})
    assert deployment(pool, HERE)["spec"]["progressDeadlineSeconds"] == 90
    assert deployment(op.pool(), HERE)["spec"]["progressDeadlineSeconds"] == 3600


def test_the_token_of_a_pools_pods_is_the_same_after_a_restart_and_another_for_another_pool() -> None:
    pool = op.pool()
    assert pool_token(KEY, pool) == pool_token(KEY, op.pool())
    assert pool_token(KEY, pool) != pool_token(KEY, op.pool("other"))
    assert pool_token(KEY, pool) != pool_token(b"x" * 32, pool)
    assert len(pool_token(KEY, pool)) == 64


def test_pods_of_a_pool_that_was_made_again_start_anew() -> None:
    """They would hold the token of the one before."""
    first, again = op.pool(), make.pool()
    again = again.model_copy(update={"metadata": again.metadata.model_copy(update={"uid": "another"})})
    annotations = [
        deployment(p, HERE)["spec"]["template"]["metadata"]["annotations"]["lorapool.dev/pool-uid"]
        for p in (first, again)
    ]
    assert annotations == ["uid-default-shapes", "another"]
