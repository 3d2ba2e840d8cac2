"""Manifests of Kubernetes' own kinds into views."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from lorapool_api import names
from lorapool_api.names import full_name
from lorapool_operator.seen.crash_line import crash_line
from lorapool_operator.seen.views import DeploymentView, PodTrouble, PodView, Problem, ReplicaSetView

# Reasons for which a container waits that do not go away by themselves.
_CONTAINER_PROBLEMS: Final = frozenset(
    {
        "CrashLoopBackOff",
        "ErrImagePull",
        "ErrImageNeverPull",
        "ImagePullBackOff",
        "InvalidImageName",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
    }
)

Manifest = Mapping[str, Any]


def pod_view(body: Manifest) -> PodView:
    """A pod from its manifest."""
    meta, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    return PodView(
        name=meta["name"],
        namespace=meta["namespace"],
        uid=meta["uid"],
        pool=_pool_of(meta),
        ip=status.get("podIP") or None,
        phase=status.get("phase", "Pending"),
        ready=conditions.get("Ready", {}).get("status") == "True",
        terminating=meta.get("deletionTimestamp") is not None,
        created=_time(meta.get("creationTimestamp")),
        problem=_problem(spec, status, conditions),
        resource_version=meta.get("resourceVersion", ""),
        replica_set=_controller(meta, "ReplicaSet"),
    )


def _controller(meta: Manifest, kind: str) -> str | None:
    """uid of the object of that kind (of apps/v1) that manages this one."""
    owners = meta.get("ownerReferences") or ()
    return next(
        (o["uid"] for o in owners if (o.get("controller"), o["apiVersion"], o["kind"]) == (True, "apps/v1", kind)), None
    )


def replica_set_view(body: Manifest) -> ReplicaSetView:
    """A ReplicaSet from its manifest."""
    meta = body["metadata"]
    return ReplicaSetView(
        name=meta["name"],
        namespace=meta["namespace"],
        uid=meta["uid"],
        pool=_pool_of(meta),
        deployment=_controller(meta, "Deployment"),
        resource_version=meta.get("resourceVersion", ""),
    )


def _problem(spec: Manifest, status: Manifest, conditions: Mapping[str, Manifest]) -> Problem | None:
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable":
        since = _time(scheduled.get("lastTransitionTime"))
        return Problem(PodTrouble.UNSCHEDULABLE, "Unschedulable", scheduled.get("message", ""), since)
    if status.get("phase") == "Failed":
        return Problem(PodTrouble.EVICTED, status.get("reason") or "Failed", status.get("message", ""))
    containers = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    return next((p for c in containers if (p := _container_problem(c))), None)


def _container_problem(container: Manifest) -> Problem | None:
    waiting = (container.get("state") or {}).get("waiting") or {}
    if waiting.get("reason") not in _CONTAINER_PROBLEMS:
        return None
    last = (container.get("lastState") or {}).get("terminated") or {}
    # What the process said when it ended tells more than "back-off 40s restarting failed container". One that was out
    # of memory was killed in the middle of something else: its last lines have nothing to do with it.
    said = "" if last.get("reason") == "OOMKilled" else crash_line(last.get("message") or "")
    ended = f"{last.get('reason', 'ended')} with exit code {last['exitCode']}" if "exitCode" in last else ""
    parts = (ended, said) if last else (waiting.get("message", ""),)
    return Problem(PodTrouble.CONTAINER, waiting["reason"], ": ".join(p for p in parts if p))


def deployment_view(body: Manifest) -> DeploymentView:
    """A Deployment from its manifest."""
    meta, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
    failed = (c for c in status.get("conditions") or () if c["type"] == "ReplicaFailure" and c["status"] == "True")
    return DeploymentView(
        name=meta["name"],
        namespace=meta["namespace"],
        uid=meta["uid"],
        pool=_pool_of(meta),
        generation=meta.get("generation", 0),
        observed_generation=status.get("observedGeneration", 0),
        replicas=spec.get("replicas", 1),
        updated=status.get("updatedReplicas", 0),
        failure=next((c.get("message", "") for c in failed), None),
        resource_version=meta.get("resourceVersion", ""),
    )


def _pool_of(meta: Manifest) -> str:
    return full_name(meta["namespace"], (meta.get("labels") or {}).get(names.POOL_LABEL, ""))


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
