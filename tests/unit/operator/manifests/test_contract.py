"""What a podTemplate must leave as it is."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.operator import make as op

from lorapool_api.kinds.conditions import Reason
from lorapool_api.kinds.pool import Pool
from lorapool_api.names import POOL_KIND
from lorapool_operator.manifests.contract import template_problem

EXAMPLES = Path(__file__).parents[4] / "examples"
RUNTIME = 'spec.runtime.podTemplate.spec.containers[name="runtime"]'


def runtime(**fields: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "runtime", **fields}]}}


BROKEN = [
    (
        {"metadata": {"labels": {"lorapool.dev/pool": "x"}}},
        "spec.runtime.podTemplate.metadata.labels[lorapool.dev/pool]",
    ),
    ({"metadata": {"labels": None}}, "spec.runtime.podTemplate.metadata.labels"),
    (
        {"metadata": {"annotations": {"lorapool.dev/pool-uid": "x"}}},
        "spec.runtime.podTemplate.metadata.annotations[lorapool.dev/pool-uid]",
    ),
    ({"spec": None}, "spec.runtime.podTemplate.spec"),
    ({"spec": {"hostNetwork": True}}, "spec.runtime.podTemplate.spec.hostNetwork"),
    ({"spec": {"containers": "none"}}, "spec.runtime.podTemplate.spec.containers"),
    ({"spec": {"containers": [{"$patch": "replace"}, {"name": "mine"}]}}, "spec.runtime.podTemplate.spec.containers"),
    (runtime(**{"$patch": "delete"}), "spec.runtime.podTemplate.spec.containers"),
    (runtime(command=["sleep"]), f"{RUNTIME}.command"),
    (runtime(args=["runtime", "--verbose"]), f"{RUNTIME}.args"),
    (runtime(ports=[{"containerPort": 8081, "$patch": "delete"}]), f'{RUNTIME}.ports[name="control"]'),
    (runtime(ports=[{"containerPort": 8080, "name": "http"}]), f'{RUNTIME}.ports[name="serving"]'),
    (
        {"spec": {"containers": [{"name": "side", "ports": [{"containerPort": 8080}]}]}},
        'spec.runtime.podTemplate.spec.containers[name="side"].ports',
    ),
    (
        {"spec": {"initContainers": [{"name": "side", "ports": [{"containerPort": 1, "name": "serving"}]}]}},
        'spec.runtime.podTemplate.spec.initContainers[name="side"].ports',
    ),
    (runtime(readinessProbe=None), f"{RUNTIME}.readinessProbe"),
    (runtime(livenessProbe={"exec": {"command": ["true"]}}), f"{RUNTIME}.livenessProbe"),
    (runtime(startupProbe={"httpGet": {"path": "/"}}), f"{RUNTIME}.startupProbe"),
    (
        runtime(env=[{"name": "LORAPOOL_RUNTIME_CONFIG", "value": "{}"}]),
        f'{RUNTIME}.env[name="LORAPOOL_RUNTIME_CONFIG"]',
    ),
    (runtime(env=[{"name": "POD_IP", "$patch": "delete"}]), f'{RUNTIME}.env[name="POD_IP"]'),
    (
        runtime(volumeMounts=[{"mountPath": "/var/cache/lorapool", "$patch": "delete"}]),
        f'{RUNTIME}.volumeMounts[mountPath="/var/cache/lorapool"]',
    ),
    ({"spec": {"$patch": "away"}}, "spec.runtime.podTemplate.spec.$patch"),
]


@pytest.mark.parametrize(("template", "path"), BROKEN, ids=[path for _, path in BROKEN])
def test_what_breaks_the_contract_is_refused_with_its_path(template: dict[str, Any], path: str) -> None:
    problem = template_problem(op.pool(template=template))
    assert problem is not None
    assert problem.reason is Reason.INVALID_SPEC
    assert problem.message.startswith(f"{path}: ")


@pytest.mark.parametrize(
    "template",
    [
        {},
        op.TEMPLATE,
        {"spec": {"serviceAccountName": "reader", "hostNetwork": False, "priorityClassName": "high"}},
        {"spec": {"volumes": [{"name": "cache", "persistentVolumeClaim": {"claimName": "mine"}}]}},
        {"spec": {"containers": [{"name": "side", "ports": [{"containerPort": 9000, "name": "metrics"}]}]}},
        runtime(image="mine:1", readinessProbe={"periodSeconds": 30}, env=[{"name": "HF_TOKEN", "value": "x"}]),
        runtime(ports=[{"containerPort": 9001, "name": "debug"}]),
        {"metadata": {"labels": {"team": "a"}, "annotations": {"x": "y"}}},
    ],
)
def test_all_else_is_the_pool_owners(template: dict[str, Any]) -> None:
    assert template_problem(op.pool(template=template)) is None


@pytest.mark.parametrize("example", sorted(EXAMPLES.rglob("*.yaml")), ids=lambda path: path.name)
def test_what_the_examples_show_is_allowed(example: Path) -> None:
    for manifest in yaml.safe_load_all(example.read_text()):
        if manifest and manifest.get("kind") == POOL_KIND:
            manifest["metadata"].setdefault("namespace", "default")
            assert template_problem(Pool.model_validate(manifest)) is None
