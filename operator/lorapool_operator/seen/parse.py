"""Manifests of Kubernetes' own kinds into views."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from lorapool_api import names
from lorapool_api.names import full_name
from lorapool_operator.seen.crash_line import crash_line
from lorapool_operator.seen.views import (
    DeploymentView,
    OwnedView,
    PodTrouble,
    PodView,
    Problem,
    ReplicaSetView,
    Standing,
)

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

_REVISION: Final = "deployment.kubernetes.io/revision"

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
        replica_set=controller(meta, "apps/v1", "ReplicaSet"),
        has_node=conditions.get("PodScheduled", {}).get("status") == "True",
        started=_started(status),
        deletion_cost=(meta.get("annotations") or {}).get(names.DELETION_COST_ANNOTATION),
        mounts_token=_mounts_token(spec),
    )


def _mounts_token(spec: Manifest) -> bool:
    ours = (c for c in spec.get("containers") or () if c.get("name") == names.RUNTIME_CONTAINER)
    mounts = (mount for container in ours for mount in container.get("volumeMounts") or ())
    return any(mount.get("mountPath") == names.CONTROL_TOKEN_DIR for mount in mounts)


def _started(status: Manifest) -> datetime | None:
    ours = (c for c in status.get("containerStatuses") or () if c.get("name") == names.RUNTIME_CONTAINER)
    container: Manifest = next(ours, {})
    running = (container.get("state") or {}).get("running") or {}
    return None if container.get("restartCount") else _time(running.get("startedAt"))


def controller(meta: Manifest, api_version: str, kind: str) -> str | None:
    """uid of the object of that kind that manages the one with this metadata."""
    owners = meta.get("ownerReferences") or ()
    return next(
        (o["uid"] for o in owners if (o.get("controller"), o["apiVersion"], o["kind"]) == (True, api_version, kind)),
        None,
    )


def owning_pool(meta: Manifest) -> str | None:
    """uid of the pool that manages the object with this metadata."""
    return controller(meta, names.API_VERSION, names.POOL_KIND)


def owned_view(body: Manifest) -> OwnedView:
    """A small object of a pool from its manifest."""
    meta = body["metadata"]
    return OwnedView(
        name=meta["name"],
        namespace=meta["namespace"],
        uid=meta["uid"],
        pool=_pool_of(meta),
        standing=standing_of(meta),
        resource_version=meta.get("resourceVersion", ""),
    )


def standing_of(meta: Manifest) -> Standing:
    """An object of a pool from its metadata."""
    mark = meta.get("generation") or _number(meta.get("resourceVersion"))
    return Standing(meta["uid"], owning_pool(meta), mark, meta.get("labels") or {})


def replica_set_view(body: Manifest) -> ReplicaSetView:
    """A ReplicaSet from its manifest."""
    meta = body["metadata"]
    return ReplicaSetView(
        name=meta["name"],
        namespace=meta["namespace"],
        uid=meta["uid"],
        pool=_pool_of(meta),
        deployment=controller(meta, "apps/v1", "Deployment"),
        resource_version=meta.get("resourceVersion", ""),
        revision=_number((meta.get("annotations") or {}).get(_REVISION)),
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
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    failed, moving = conditions.get("ReplicaFailure", {}), conditions.get("Progressing", {})
    is_failing = failed.get("status") == "True"
    return DeploymentView(
        name=meta["name"],
        namespace=meta["namespace"],
        uid=meta["uid"],
        pool=_pool_of(meta),
        generation=meta.get("generation", 0),
        observed_generation=status.get("observedGeneration", 0),
        replicas=spec.get("replicas", 1),
        updated=status.get("updatedReplicas", 0),
        failure=failed.get("message", "") if is_failing else None,
        resource_version=meta.get("resourceVersion", ""),
        failing_since=_time(failed.get("lastTransitionTime")) if is_failing else None,
        is_paused=bool(spec.get("paused")),
        is_late=(moving.get("status"), moving.get("reason")) == ("False", "ProgressDeadlineExceeded"),
        owner=owning_pool(meta),
        labels=meta.get("labels") or {},
    )


def _pool_of(meta: Manifest) -> str:
    return full_name(meta["namespace"], (meta.get("labels") or {}).get(names.POOL_LABEL, ""))


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isdecimal() else 0


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
