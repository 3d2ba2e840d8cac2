"""Pods, ReplicaSets and Deployments, cut down to what decisions need."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property

from lorapool_api.names import full_name


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
        has_node: whether the scheduler found one for it.
        started: when its container began to run, unless it has begun more than once.
        deletion_cost: the annotation that says which pods go first, as it stands there; None: it has none.
        mounts_token: whether it is a pod of 0.1.0, which knows its operator by a token of a Secret, not by signatures.
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
    has_node: bool = True
    deletion_cost: str | None = None
    started: datetime | None = None
    mounts_token: bool = False

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
        revision: grows with each template that the Deployment rolls out.
    """

    name: str
    namespace: str
    uid: str
    pool: str
    deployment: str | None
    resource_version: str = ""
    revision: int = 0


@dataclass(frozen=True)
class Standing:
    """An object of a pool as it stands in the API server.

    Attributes:
        owner: uid of the pool that controls it; None: no pool does.
        mark: grows with each change of what an owner writes: the generation, or where a kind has none the version.
        labels: no generation tells of them.
    """

    uid: str
    owner: str | None
    mark: int
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class OwnedView:
    """A small object that the operator makes for a pool: a Service, a PodDisruptionBudget."""

    name: str
    namespace: str
    uid: str
    pool: str
    standing: Standing
    resource_version: str = ""


@dataclass(frozen=True)
class DeploymentView:
    """The Deployment of a pool.

    Attributes:
        failure: why pods cannot be made, a quota for example; None: they can. `failing_since`: since when.
        is_late: whether nothing has moved in its rollout for as long as progressDeadlineSeconds.
        is_paused: whether somebody has paused its rollouts (`kubectl rollout pause`).
        owner: uid of the pool that controls it; None: no pool does.
    """

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
    failing_since: datetime | None = None
    is_late: bool = False
    is_paused: bool = False
    owner: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def standing(self) -> Standing:
        return Standing(self.uid, self.owner, self.generation, self.labels)


def newest_replica_set(replica_sets: Iterable[ReplicaSetView], deployment: DeploymentView | None) -> str | None:
    """uid of the one whose template the Deployment rolls out, or has; None: it has made none yet."""
    ours = [r for r in replica_sets if deployment is not None and r.deployment == deployment.uid]
    return max(ours, key=lambda r: r.revision).uid if ours else None


def owned_pods(
    pods: Iterable[PodView], replica_sets: Iterable[ReplicaSetView], deployment: DeploymentView | None
) -> tuple[PodView, ...]:
    """The pods that the Deployment made. A label is no proof: whoever may make pods can set it."""
    if deployment is None:
        return ()
    ours = {r.uid for r in replica_sets if r.deployment == deployment.uid}
    return tuple(p for p in pods if p.replica_set in ours)
