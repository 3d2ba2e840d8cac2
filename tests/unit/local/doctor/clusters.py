"""Clusters as a look finds them: one that is well, and what a test breaks of it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from tests import make

from lorapool_local.doctor.facts import ClusterFacts, Manifest
from lorapool_local.doctor.installation import CRDS

NOW = make.EPOCH + timedelta(hours=1)
OPERATOR, GATEWAY = "lorapool-operator", "lorapool-gateway"


def deployment(name: str, ready: int = 1, replicas: int = 1, watched: str = "") -> Manifest:
    env = [{"name": "LORAPOOL_NAMESPACES", "value": watched}]
    spec = {"serviceAccountName": name, "containers": [{"name": "main", "env": env}]}
    return {
        "metadata": {"name": name, "namespace": "lorapool-system", "labels": {"app.kubernetes.io/name": name}},
        "spec": {"replicas": replicas, "template": {"spec": spec}},
        "status": {"readyReplicas": ready},
    }


def lease(holder: str | None = "one", age_s: float = 3) -> Manifest:
    spec = {"holderIdentity": holder, "renewTime": (NOW - timedelta(seconds=age_s)).isoformat()} if holder else {}
    return {"metadata": {"name": OPERATOR, "namespace": "lorapool-system"}, "spec": spec}


def pod(name: str = OPERATOR, namespace: str = "lorapool-system", pool: str = "", **status: Any) -> Manifest:
    labels = {"app.kubernetes.io/name": name} | ({"lorapool.dev/pool": pool} if pool else {})
    return {"metadata": {"name": f"{name}-0", "namespace": namespace, "labels": labels}, "status": status}


def condition(type_: str, status: str, reason: str, message: str = "", generation: int = 1) -> Manifest:
    return {
        "type": type_,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": generation,
        "lastTransitionTime": make.EPOCH.isoformat(),
    }


def observed(manifest: Manifest, *conditions: Manifest, generation: int = 1, **status: Any) -> Manifest:
    meta = manifest["metadata"] | {"uid": "u", "generation": generation}
    return manifest | {"metadata": meta, "status": {"conditions": list(conditions), **status}}


def well(**changes: Any) -> ClusterFacts:
    """An installation without pools where nothing is wrong."""
    crd = {"status": {"conditions": [{"type": "Established", "status": "True"}]}}
    plain = ClusterFacts(
        now=NOW,
        crds=dict.fromkeys(CRDS, crd),
        deployments=(deployment(OPERATOR), deployment(GATEWAY)),
        leases=(lease(),),
        denied=(),
    )
    return replace(plain, **changes)
