"""What one pass sees: a snapshot of frozen values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Final

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.pool import Pool
from lorapool_api.wire.catalog import Catalog
from lorapool_api.wire.state import AWAKE, AdapterState, BasePhase, BaseReport, BaseState, SleepState
from lorapool_operator.seen.handover import ServedElsewhere
from lorapool_operator.seen.resolution import NOTHING_TO_RESOLVE, BaseResolution, Outcome
from lorapool_operator.seen.verdict import Verdict
from lorapool_operator.seen.views import DeploymentView, PodView, Standing


@dataclass(frozen=True)
class PodReport:
    """What a pod last said of itself.

    Attributes:
        accepts_token: whether it knows our control token; one that does not says nothing of itself.
        held: the catalog that it took last from this operator; it says by `digest` whether it has that still.
        was_asked: whether it has answered, or failed to.
        busy_s: how long its process has worked with which adapters, by key, of those that it used last.
        start_s: how long each stage of its process's start took, in their order.
        sleep: whether its base waits in host memory.
    """

    reachable: bool = False
    digest: str | None = None
    base: BaseState | None = None
    adapters: Mapping[str, AdapterState] = field(default_factory=dict)
    accepts_token: bool = True
    held: Catalog | None = None
    was_asked: bool = True
    busy_s: Mapping[str, float] = field(default_factory=dict)
    start_s: Mapping[str, float] = field(default_factory=dict)
    sleep: SleepState = AWAKE

    @property
    def is_warm(self) -> bool:
        return self.base is not None and self.base.phase is BasePhase.WARM


NO_REPORT: Final = PodReport(was_asked=False)


@dataclass(frozen=True)
class Observed:
    """Everything that a pass decides by, but for what it remembers.

    Attributes:
        pool: None where there is none of that name, where it is being deleted, or its namespace is: what we made for it
            would only come back, or cannot be created any more. `spec.replicas` is what `spec.scaling` came to, if set.
        adapters: all that belong to the pool or are served by it, also those being deleted.
        pods: those that the pool's Deployment made.
        outcomes: adapter's key -> what its source turned out to be.
        reports: pod's key -> what it said.
        bases: revision of a base -> its modules, of bases that pods held.
        namespace_labels: labels by namespace, as far as they are known.
        now: the time of day; `clock_s`: seconds that never go back.
        refusal: why the API server does not take the pool's objects; None: it does.
        base_resolution: what became of looking up the commits of the base model.
        elsewhere: adapter's key -> how it fares in the pool that it leaves.
        standing: the objects of the pool that are known of, by kind and name: `Service/shapes-runtime`.
        newest: uid of the ReplicaSet whose pods are of the newest template; None: there is none yet.
        requests: uid of a pod -> the requests that it has, as far as anybody asks.
        scaling_problem: why `spec.scaling` takes no pod away; None: it may.
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
    elsewhere: Mapping[str, ServedElsewhere] = field(default_factory=dict)
    standing: Mapping[str, Standing] = field(default_factory=dict)
    newest: str | None = None
    requests: Mapping[str, int] = field(default_factory=dict)
    scaling_problem: Verdict | None = None

    def report(self, pod: PodView) -> PodReport:
        return self.reports.get(pod.key, NO_REPORT)

    def is_warm(self, pod: PodView) -> bool:
        """Whether its base is loaded. A pod that fell silent counts for as long as the kubelet finds it ready."""
        report = self.report(pod)
        return pod.is_running and report.is_warm and (report.reachable or pod.ready)

    @cached_property
    def by_key(self) -> Mapping[str, Adapter]:
        """The adapters by their keys."""
        return {adapter.key: adapter for adapter in self.adapters}

    @cached_property
    def leaving(self) -> tuple[Adapter, ...]:
        """Adapters that this pool serves until the pool that they belong to does."""
        return tuple(a for a in self.adapters if a.pool_key != self.key)

    @cached_property
    def running_pods(self) -> tuple[tuple[PodView, PodReport], ...]:
        """The pods with a process to talk to, and what each last said."""
        return tuple((p, self.report(p)) for p in self.pods if p.is_running)

    @cached_property
    def outdated(self) -> frozenset[str]:
        """Keys of the pods that a rollout replaces: of an older template than the newest."""
        return frozenset(p.key for p in self.pods if p.counts and p.replica_set != self.newest)

    @cached_property
    def refusing(self) -> tuple[PodView, ...]:
        """The pods that do not know our control token, so that they take no catalog and say nothing."""
        return tuple(p for p, report in self.running_pods if not report.accepts_token)

    @cached_property
    def warm(self) -> frozenset[str]:
        """Keys of the pods whose base is loaded."""
        return frozenset(p.key for p, _ in self.running_pods if self.is_warm(p))
