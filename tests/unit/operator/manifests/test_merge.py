"""The pool's podTemplate over what the operator builds."""

import json
from typing import Any

import kubernetes_validate
import pytest
from tests.unit.operator import make as op

from lorapool_operator.manifests.deployment import Installation, deployment
from lorapool_operator.manifests.merge import merge

HERE = Installation(image="runtime:1", hf_endpoint="http://hub:1", url_hosts=("files.example.org",))


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
