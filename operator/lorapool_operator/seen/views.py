"""Pods, ReplicaSets and Deployments, cut down to what decisions need."""

from collections.abc import Iterable
from dataclasses import dataclass
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


def owned_pods(
    pods: Iterable[PodView], replica_sets: Iterable[ReplicaSetView], deployment: DeploymentView | None
) -> tuple[PodView, ...]:
    """The pods that the Deployment made. A label is no proof: whoever may make pods can set it."""
    if deployment is None:
        return ()
    ours = {r.uid for r in replica_sets if r.deployment == deployment.uid}
    return tuple(p for p in pods if p.replica_set in ours)
