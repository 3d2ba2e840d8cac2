"""What the installation says of all pods, and a pool may say otherwise."""

from typing import Any

import kubernetes_validate
from tests.unit.operator import make as op

from lorapool_operator.manifests.deployment import Installation, deployment

PLAIN = Installation(image="runtime:1")
FULL = Installation(image="runtime:1", priority_class="gpu-serving", pull_secrets=("registry", "mirror"))


def pod_spec(installation: Installation, template: dict[str, Any] | None = None) -> dict[str, Any]:
    made = deployment(op.pool(template=template or {}), installation)
    kubernetes_validate.validate(made, "1.34", strict=True)
    spec: dict[str, Any] = made["spec"]["template"]["spec"]
    return spec


def test_an_installation_that_says_nothing_leaves_pods_as_they_were() -> None:
    assert not {"priorityClassName", "imagePullSecrets"} & pod_spec(PLAIN).keys()


def test_its_priority_class_counts_for_pools_that_name_none() -> None:
    assert pod_spec(FULL)["priorityClassName"] == "gpu-serving"
    assert pod_spec(FULL, {"spec": {"priorityClassName": "mine"}})["priorityClassName"] == "mine"


def test_where_traces_go_is_said_to_its_pods_alone_where_there_is_a_place() -> None:
    env = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://otel:4318")
    (container,) = pod_spec(Installation(image="runtime:1", traces_env=(env,)))["containers"]
    assert {"name": env[0], "value": env[1]} in container["env"]
    (container,) = pod_spec(PLAIN)["containers"]
    assert not [row for row in container["env"] if row["name"].startswith("OTEL")]


def test_its_pull_secrets_stand_beside_those_of_the_pool() -> None:
    assert pod_spec(FULL)["imagePullSecrets"] == [{"name": "registry"}, {"name": "mirror"}]
    spec = pod_spec(FULL, {"spec": {"imagePullSecrets": [{"name": "mirror"}, {"name": "mine"}]}})
    assert spec["imagePullSecrets"] == [{"name": "registry"}, {"name": "mirror"}, {"name": "mine"}]
