"""A pass decided as a whole: from what was seen and what the pass before left, to everything that is to be done."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from lorapool_api.kinds.adapter import Adapter, AdapterStatus
from lorapool_api.kinds.base_model import BaseModelSpec
from lorapool_api.kinds.pool import Pool, PoolStatus
from lorapool_api.kinds.status.names import KeptName
from lorapool_api.wire.catalog import Catalog, CatalogEntry
from lorapool_api.wire.fleet import Assignment
from lorapool_api.wire.state import BaseReport
from lorapool_common.kube.merge_patch import merge_patch
from lorapool_operator.decide.adapters.adapter_status import WantedStatus
from lorapool_operator.decide.adapters.decisions import AdapterDecisions
from lorapool_operator.decide.adapters.incremental.checked import ChecksInput
from lorapool_operator.decide.adapters.incremental.status_news import due_statuses
from lorapool_operator.decide.adapters.incremental.statuses import AdapterStatuses, StatusesInput
from lorapool_operator.decide.adapters.rollout.kept import kept_entries
from lorapool_operator.decide.adapters.tenants.kept_names import NO_NAMES, NamesMemory
from lorapool_operator.decide.demands import NO_DEMANDS, AdapterDemands
from lorapool_operator.decide.events import EventDraft, adapter_events, pool_events
from lorapool_operator.decide.finalizers import UNREGISTER_GRACE_S, FinalizerPlan, plan_finalizers
from lorapool_operator.decide.leaving import gone_adapters, leaving
from lorapool_operator.decide.placements import PlacementDecisions
from lorapool_operator.decide.placing.assigned import NO_PLACEMENTS
from lorapool_operator.decide.placing.placement_input import PlacementInput
from lorapool_operator.decide.pools.gpu_use import GpuUse, gpu_use
from lorapool_operator.decide.pools.objects import wanted_objects
from lorapool_operator.decide.pools.pool_status import pods_by_state, pool_status
from lorapool_operator.decide.pools.rolling import NO_ROLLOUT, RollingUpdate
from lorapool_operator.decide.scaling.removals import DeletionCost, deletion_costs
from lorapool_operator.manifests.objects import WantedObjects
from lorapool_operator.seen.handover import ServedElsewhere
from lorapool_operator.seen.observed import Observed
from lorapool_operator.seen.views import DeploymentView

# How long statuses wait for pods that are being told of a new catalog, so that their answers are in the same status.
SETTLE_S: Final = 1.0
# After a version took over, what pods hold ahead follows the status that says so.
_MOVE_S: Final = 0.5
_BEGINNING: Final = datetime.min.replace(tzinfo=UTC)
_NO_CATALOG: Final = Catalog.of(())


@dataclass(frozen=True)
class PassMemory:
    """What a pass leaves for the next one over the same pool. Times are those of `Observed.clock_s`.

    Attributes:
        base: the modules that a pod reported last, and of which model; they hold while no pod is warm.
        entries: what pods were to have when the catalog was distributed last.
        catalog: that one, without the adapters that could not be marked.
        behind_since_s: since when some pod that answers has another; None: none has.
        terminating_since_s: adapter's key -> when its deletion was seen first.
        unwritten_since_s: adapter's key -> since when its object has another status than it shall have.
        adapters: all that there were, by their keys.
        demands: what requests have asked for lately.
        rollout: how far the rollout of its pods is.
        pool_uid: empty where there was no pool.
    """

    base: tuple[BaseModelSpec, BaseReport] | None = None
    entries: tuple[CatalogEntry, ...] = ()
    catalog: Catalog = _NO_CATALOG
    behind_since_s: float | None = None
    terminating_since_s: Mapping[str, float] = field(default_factory=dict)
    unwritten_since_s: Mapping[str, float] = field(default_factory=dict)
    adapters: Mapping[str, Adapter] = field(default_factory=dict)
    demands: AdapterDemands = NO_DEMANDS
    rollout: RollingUpdate = NO_ROLLOUT
    pool_uid: str = ""
    names: NamesMemory = NO_NAMES


@dataclass(frozen=True)
class StatusWrite:
    """A status that differs from the object's. As JSON it is made when it is written: there may be ten thousand.

    Attributes:
        events: what people are told once it is written.
    """

    about: Adapter | Pool
    status: AdapterStatus | PoolStatus
    events: tuple[EventDraft, ...]

    @property
    def content(self) -> dict[str, Any]:
        """The whole status."""
        return self.status.manifest()

    def patch(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """The way from the object's to that one, RFC 7396; empty where they are the same."""
        return merge_patch(self.about.status.manifest(), content)


@dataclass(frozen=True)
class Report:
    """What the statuses and the metrics shall say."""

    writes: tuple[StatusWrite, ...]
    adapters_by_reason: Mapping[str, int]
    pods_by_state: Mapping[str, int]
    gpus: GpuUse


@dataclass(frozen=True)
class PassPlan:
    """What a pass does, in this order.

    Attributes:
        resolve: adapters whose sources are to be resolved, where that is not done, by their keys.
        gone: uids of adapters that the pool has no more, with their keys.
        gone_pool: uid of the pool that was there before and is not any more.
        objects: None: there is no pool.
        is_paused: whether they stay as they are.
        deletion_costs: the pods that go first, and those that did not go, before the objects are applied.
        scale_down: the Deployment of a pool whose namespace is being deleted.
        finalizers: the changes; what gets none is not told to pods.
        entries: what pods shall have, in order of the keys; of these, only those whose adapter has the finalizer.
        assignments: what each pod that runs is told of its place among the others, by its key.
        leaving: adapters that move to another pool, by key: how they fare here. None: as `report`.
        report: None: it waits for pods that are about to answer.
        again_s: when another pass is wanted although nothing happens; None: it is not.
        memory: for the next pass.
    """

    resolve: Mapping[str, Adapter]
    gone: Mapping[str, str]
    gone_pool: str | None
    objects: WantedObjects | None
    is_paused: bool
    deletion_costs: tuple[DeletionCost, ...]
    scale_down: DeploymentView | None
    finalizers: FinalizerPlan
    entries: tuple[CatalogEntry, ...]
    assignments: Mapping[str, Assignment]
    leaving: Mapping[str, ServedElsewhere] | None
    report: Report | None
    again_s: float | None
    memory: PassMemory


def decide(seen: Observed, memory: PassMemory, adapters: AdapterDecisions, placements: PlacementDecisions) -> PassPlan:
    """The plan of a pass. `adapters` and `placements` only save work: other ones make the same plan."""
    base, gone = _base(seen, memory), gone_adapters(memory.adapters, seen.by_key)
    kept = memory.names.after(seen.pool, gone.values(), seen.adapters, seen.now)
    checked = adapters.checked(ChecksInput.of(seen, base[1] if base else None, kept))
    demands = memory.demands.after(seen)
    placed = (
        placements.placed(PlacementInput.of(seen, seen.pool, checked.results, demands)) if seen.pool else NO_PLACEMENTS
    )
    since_s = {key: memory.terminating_since_s.get(key, seen.clock_s) for key in checked.terminating}
    terminating_s = {key: seen.clock_s - since for key, since in since_s.items()}
    finalizers = plan_finalizers(seen, checked.unmarked, checked.terminating, memory.catalog, terminating_s)
    is_paused = seen.pool is not None and seen.pool.metadata.is_paused
    paused = checked.results.keys() if is_paused else checked.paused
    entries = kept_entries(checked.entries, paused, checked.results, memory.catalog.entries, memory.adapters)
    rollout = memory.rollout.after(seen)
    behind_since_s = _behind_since_s(seen, memory, entries)
    settles_in_s = 0.0 if behind_since_s is None else max(0.0, SETTLE_S - (seen.clock_s - behind_since_s))
    pool_uid = seen.pool.metadata.uid if seen.pool else ""
    statuses = None if settles_in_s else adapters.statuses(StatusesInput.of(checked, placed.copies, seen))
    moves_in_s = _MOVE_S if statuses is not None and statuses.has_moved else 0.0
    due = None if statuses is None else due_statuses(statuses.new, memory.unwritten_since_s, seen.clock_s)
    waits = [settles_in_s, moves_in_s, due.again_s if due else 0.0]
    waits += [(row.until - seen.now).total_seconds() for row in kept[-1:]]
    waits += [UNREGISTER_GRACE_S - terminating_s[a.key] for a in finalizers.waiting]
    return PassPlan(
        resolve=checked.accepted,
        gone=gone,
        gone_pool=memory.pool_uid if memory.pool_uid not in ("", pool_uid) else None,
        objects=wanted_objects(seen, rollout),
        is_paused=is_paused,
        deletion_costs=() if is_paused else deletion_costs(seen),
        scale_down=_to_scale_down(seen),
        finalizers=finalizers,
        entries=entries,
        assignments=placed.assignments,
        leaving=None if statuses is None else leaving(seen, checked.results, statuses, memory.catalog),
        report=None if statuses is None or due is None else _report(seen, statuses, due.now, kept),
        again_s=min((wait_s for wait_s in waits if wait_s), default=None),
        memory=replace(
            memory,
            base=base,
            entries=entries,
            behind_since_s=behind_since_s,
            terminating_since_s=since_s,
            unwritten_since_s=memory.unwritten_since_s if due is None else due.since_s,
            adapters=seen.by_key,
            demands=demands,
            rollout=rollout,
            pool_uid=pool_uid,
            names=NamesMemory(pool_uid, checked.claims.owners, kept),
        ),
    )


def _base(seen: Observed, memory: PassMemory) -> tuple[BaseModelSpec, BaseReport] | None:
    """The modules of the base as the newest warm pod holds it: during a rollout that is the one to come. While no pod
    is warm: what the last one reported, if it held the same model."""
    if seen.pool is None:
        return memory.base
    model = seen.pool.spec.model
    warm = [(p.created or _BEGINNING, p.name, r.base) for p, r in seen.running_pods if r.is_warm]
    newest_first = sorted(warm, key=lambda row: row[:2], reverse=True)
    reports = (seen.bases.get(base.revision) for _, _, base in newest_first if base and base.revision)
    report = next((r for r in reports if r is not None), None)
    if report is not None:
        return model, report
    return memory.base if memory.base and memory.base[0] == model else None


def _behind_since_s(seen: Observed, memory: PassMemory, wanted: tuple[CatalogEntry, ...]) -> float | None:
    """Since when some pod that answers, or was not asked yet, has another catalog than it shall have."""
    is_new = wanted != memory.entries
    answering = (r for _, r in seen.running_pods if r.reachable or not r.was_asked)
    if seen.pool is None or not any(is_new or r.digest != memory.catalog.digest for r in answering):
        return None
    return seen.clock_s if memory.behind_since_s is None else memory.behind_since_s


def _to_scale_down(seen: Observed) -> DeploymentView | None:
    """The namespace controller looks for pods after 5 and 10 s, and after half of their grace once it found them both
    times: idle ones that are told now are gone by then."""
    is_scaled = seen.deployment is None or seen.deployment.replicas == 0
    return None if is_scaled or not seen.is_namespace_terminating else seen.deployment


def _report(
    seen: Observed, statuses: AdapterStatuses, due: Iterable[WantedStatus], kept: tuple[KeptName, ...]
) -> Report:
    writes = [StatusWrite(w.adapter, w.status, adapter_events(w.adapter, w.status)) for w in due]
    if seen.pool is not None:
        status = pool_status(seen.pool, seen, statuses.counts, kept)
        of_pool = StatusWrite(seen.pool, status, pool_events(seen.pool, status))
        writes += [of_pool] if of_pool.patch(of_pool.content) else []
    gpus = gpu_use(seen, statuses.counts.ready)
    return Report(tuple(writes), statuses.by_reason, pods_by_state(seen), gpus)
