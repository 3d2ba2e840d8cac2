"""The pool's podTemplate over what the operator builds."""

import json
from typing import Any

import kubernetes_validate
import pytest
from tests.unit.operator import make as op

from lorapool_operator.manifests.deployment import Installation, deployment
from lorapool_operator.manifests.merge import MergeError, merge

HERE = Installation(image="runtime:1", hf_endpoint="http://hub:1", url_hosts=("files.example.org",))


def test_the_pod_template_is_merged_by_names() -> None:
    pool = op.pool(
        template={
            "metadata": {"labels": {"team": "a"}, "annotations": {"x": "y"}},
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
        (
            {"env": [{"name": "A"}, {"name": "B"}]},
            {"env": [{"name": "A", "$patch": "delete"}, {"name": "C"}]},
            {"env": [{"name": "B"}, {"name": "C"}]},
        ),
        ({"a": {"b": 1}, "c": 1}, {"a": {"$patch": "delete"}}, {"c": 1}),
        ({"a": {"b": 1}}, {"a": {"$patch": "replace", "c": 2}}, {"a": {"c": 2}}),
        ({"a": {"b": 1}}, {"a": {"$patch": "merge", "c": 2}}, {"a": {"b": 1, "c": 2}}),
        (
            {"volumes": [{"name": "a"}, {"name": "b"}]},
            {"volumes": [{"$patch": "replace"}, {"name": "c"}]},
            {"volumes": [{"name": "c"}]},
        ),
        ({}, {"a": {"b": None, "c": {"$patch": "delete"}, "d": 1}}, {"a": {"d": 1}}),
        ({}, {"tolerations": [{"key": "gpu"}]}, {"tolerations": [{"key": "gpu"}]}),
        (
            {"ports": [{"containerPort": 1, "name": "a"}]},
            {"ports": [{"containerPort": 2}, {"containerPort": 1, "protocol": "UDP"}]},
            {"ports": [{"containerPort": 1, "name": "a", "protocol": "UDP"}, {"containerPort": 2}]},
        ),
    ],
)
def test_merging(base: Any, over: Any, merged: Any) -> None:
    before = json.dumps([base, over])
    assert merge(base, over) == merged
    assert json.dumps([base, over]) == before, "merging must change neither"


@pytest.mark.parametrize(
    ("over", "path"),
    [
        ({"spec": {"$patch": "remove"}}, "here.spec.$patch"),
        ({"spec": {"$setElementOrder/env": []}}, "here.spec.$setElementOrder/env"),
        (
            {"containers": [{"name": "a", "env": [{"name": "B", "$patch": "x"}]}]},
            'here.containers[name="a"].env[name="B"].$patch',
        ),
        ({"ports": [{"containerPort": 80, "$patch": "x"}]}, "here.ports[containerPort=80].$patch"),
    ],
)
def test_a_directive_that_nobody_knows_is_refused_with_its_path(over: Any, path: str) -> None:
    with pytest.raises(MergeError) as refused:
        merge({}, over, "here")
    assert refused.value.path == path
