"""What a pass does to adapters and pods: finalizers, catalogs, and when a roll-out must give way."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from lorapool_api import names
from lorapool_api.kinds.adapter import Adapter
from lorapool_api.wire.catalog import Catalog, CatalogDelta, CatalogEntry
from lorapool_operator.decide.checker import CheckResult
from lorapool_operator.seen.observed import Observed, PodTrouble

# How long pods may take to forget an adapter before its deletion goes on without them.
UNREGISTER_GRACE_S: Final = 5.0
# How long a new pod may look for a node beside the old ones. An autoscaler needs minutes; the old ones serve meanwhile.
GIVE_WAY_AFTER: Final = timedelta(minutes=3)


@dataclass(frozen=True)
class FinalizerPlan:
    """Finalizers to add before an adapter is registered, and to take away after it is not."""

    add: tuple[Adapter, ...]
    remove: tuple[Adapter, ...]
    waiting: tuple[Adapter, ...]


def plan_finalizers(
    seen: Observed, results: Mapping[str, CheckResult], catalog: Catalog, terminating_s: Mapping[str, float]
) -> FinalizerPlan:
    """Which finalizers change.

    Args:
        catalog: what the pods shall have; adapters that are being deleted are not in it.
        terminating_s: adapter's key -> seconds since its deletion was seen.
    """
    marked = [a for a in seen.adapters if a.metadata.is_terminating and has_finalizer(a)]
    forgotten = is_forgotten_by_all(seen, catalog)
    late = {a.key for a in marked if terminating_s.get(a.key, 0.0) >= UNREGISTER_GRACE_S}
    return FinalizerPlan(
        add=tuple(j.adapter for j in results.values() if j.entry is not None and not has_finalizer(j.adapter)),
        remove=tuple(a for a in marked if forgotten or a.key in late),
        waiting=tuple(a for a in marked if not forgotten and a.key not in late),
    )


def has_finalizer(adapter: Adapter) -> bool:
    return names.ADAPTER_FINALIZER in adapter.metadata.finalizers


def is_forgotten_by_all(seen: Observed, catalog: Catalog) -> bool:
    """Whether every pod that can hold an adapter has a catalog without those that are being deleted.

    A pod that never said which catalog it holds counts as holding the adapter; the grace period bounds that. Pods of a
    pool that is gone are about to go too, and nobody may talk to them any more.
    """
    return seen.pool is None or all(seen.report(p).digest == catalog.digest for p in seen.pods if p.is_running)


def delta(held: Catalog, wanted: Catalog) -> CatalogDelta:
    """The change from one catalog to another."""
    before: dict[str, CatalogEntry] = {e.key: e for e in held.entries}
    after = {e.key for e in wanted.entries}
    return CatalogDelta(
        base=held.digest,
        digest=wanted.digest,
        upsert=tuple(e for e in wanted.entries if (old := before.get(e.key)) is not e and old != e),
        remove=tuple(key for key in before if key not in after),
    )


def must_give_way(seen: Observed) -> bool:
    """Whether a roll-out may take an old pod down first.

    With several replicas it may always: the others serve. With one only when its successor finds no node.
    """
    if seen.pool is not None and seen.pool.spec.replicas > 1:
        return True
    problems = (p.problem for p in seen.pods if p.counts and p.problem is not None)
    return any(
        p.kind is PodTrouble.UNSCHEDULABLE and p.since is not None and seen.now - p.since >= GIVE_WAY_AFTER
        for p in problems
    )
