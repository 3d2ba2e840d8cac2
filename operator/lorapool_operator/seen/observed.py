"""What one pass sees: frozen values, cut down from manifests and from what pods say."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any, Final

from lorapool_api import names
from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.pool import Pool
from lorapool_api.names import full_name
from lorapool_api.wire.catalog import Catalog
from lorapool_api.wire.state import AdapterState, BasePhase, BaseReport, BaseState
from lorapool_operator.seen.crash_line import crash_line
from lorapool_operator.seen.resolution import NOTHING_TO_RESOLVE, BaseResolution, Outcome
from lorapool_operator.seen.verdict import Verdict

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


class PodTrouble(StrEnum):
    """Kinds of trouble that a pod can be in without the runtime's help."""

    CONTAINER = "container"
    UNSCHEDULABLE = "unschedulable"
    EVICTED = "failed"


@dataclass(frozen=True)
class Problem:
    """What keeps a pod from working, in the cluster's own words."""

    kind: PodTrouble
    reason: str
    message: str
    since: datetime | None = None


@dataclass(frozen=True)
class PodView:
    """A runtime pod.

    Attributes:
        replica_set: uid of the ReplicaSet that made it; None: none did.
    """

    name: str
    namespace: str
    uid: str
    pool: str
    ip: str | None
    phase: str
    ready: bool
    terminating: bool
    created: datetime | None
    problem: Problem | None = None
    resource_version: str = ""
    replica_set: str | None = None

    @cached_property
    def key(self) -> str:
        return full_name(self.namespace, self.name)

    @property
    def is_running(self) -> bool:
        """Whether there is a process to talk to, ready for traffic or not."""
        return self.ip is not None and self.phase == "Running" and not self.terminating

    @property
    def counts(self) -> bool:
        """Whether it is one of the pool's pods, not one that is on its way out."""
        return not self.terminating and self.phase not in ("Succeeded", "Failed")


@dataclass(frozen=True)
class ReplicaSetView:
    """A ReplicaSet with the label of a pool.

    Attributes:
        deployment: uid of the Deployment that made it; None: none did.
    """

    name: str
    namespace: str
    uid: str
    pool: str
    deployment: str | None
    resource_version: str = ""


@dataclass(frozen=True)
class DeploymentView:
    """The Deployment of a pool."""

    name: str
    namespace: str
    uid: str
    pool: str
    generation: int
    observed_generation: int
    replicas: int
    updated: int
    failure: str | None
    resource_version: str = ""


@dataclass(frozen=True)
class PodReport:
    """What a pod last said of itself.

    Attributes:
        accepts_token: whether it knows our control token; one that does not says nothing of itself.
        held: the catalog that it took last from this operator; it says by `digest` whether it has that still.
        was_asked: whether it has answered, or failed to.
    """

    reachable: bool = False
    digest: str | None = None
    base: BaseState | None = None
    adapters: Mapping[str, AdapterState] = field(default_factory=dict)
    accepts_token: bool = True
    held: Catalog | None = None
    was_asked: bool = True

    @property
    def is_warm(self) -> bool:
        return self.base is not None and self.base.phase is BasePhase.WARM


NO_REPORT: Final = PodReport(was_asked=False)


@dataclass(frozen=True)
class Observed:
    """Everything that a pass decides by, but for what it remembers.

    Attributes:
        pool: None where there is none of that name, where it is being deleted, or its namespace is: what we made for it
            would only come back, or cannot be created any more.
        adapters: all that name the pool, also those being deleted.
        pods: those that the pool's Deployment made.
        outcomes: adapter's key -> what its source turned out to be.
        reports: pod's key -> what it said.
        bases: revision of a base -> its modules, of bases that pods held.
        namespace_labels: labels by namespace, as far as they are known.
        now: the time of day; `clock_s`: seconds that never go back.
        refusal: why the API server does not take the pool's objects; None: it does.
        base_resolution: what became of looking up the commits of the base model.
    """

    key: str
    pool: Pool | None
    adapters: tuple[Adapter, ...]
    pods: tuple[PodView, ...]
    deployment: DeploymentView | None
    outcomes: Mapping[str, Outcome]
    reports: Mapping[str, PodReport]
    bases: Mapping[str, BaseReport]
    namespace_labels: Mapping[str, Mapping[str, str]]
    url_hosts: tuple[str, ...]
    now: datetime
    clock_s: float
    refusal: Verdict | None = None
    base_resolution: BaseResolution = NOTHING_TO_RESOLVE
    is_namespace_terminating: bool = False

    def report(self, pod: PodView) -> PodReport:
        return self.reports.get(pod.key, NO_REPORT)

    def is_warm(self, pod: PodView) -> bool:
        """Whether its base is loaded. A pod that fell silent counts for as long as the kubelet finds it ready."""
        report = self.report(pod)
        return pod.is_running and report.is_warm and (report.reachable or pod.ready)

    @cached_property
    def running_pods(self) -> tuple[tuple[PodView, PodReport], ...]:
        """The pods with a process to talk to, and what each last said."""
        return tuple((p, self.report(p)) for p in self.pods if p.is_running)

    @cached_property
    def refusing(self) -> tuple[PodView, ...]:
        """The pods that do not know our control token, so that they take no catalog and say nothing."""
        return tuple(p for p, report in self.running_pods if not report.accepts_token)

    @cached_property
    def warm(self) -> frozenset[str]:
        """Keys of the pods whose base is loaded."""
        return frozenset(p.key for p, _ in self.running_pods if self.is_warm(p))


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


def owned_pods(
    pods: Iterable[PodView], replica_sets: Iterable[ReplicaSetView], deployment: DeploymentView | None
) -> tuple[PodView, ...]:
    """The pods that the Deployment made. A label is no proof: whoever may make pods can set it."""
    if deployment is None:
        return ()
    ours = {r.uid for r in replica_sets if r.deployment == deployment.uid}
    return tuple(p for p in pods if p.replica_set in ours)


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
