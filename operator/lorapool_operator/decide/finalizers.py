"""Which finalizers change: added before an adapter is registered with pods, taken away once no pod has it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lorapool_api import names
from lorapool_api.kinds.adapter import Adapter
from lorapool_api.wire.catalog import Catalog
from lorapool_operator.seen.observed import Observed, PodReport

# How long pods may take to forget an adapter before its deletion goes on without them.
UNREGISTER_GRACE_S: Final = 5.0


@dataclass(frozen=True)
class FinalizerPlan:
    """Finalizers to add, to take away, and to leave since pods have the adapters still."""

    add: tuple[Adapter, ...]
    remove: tuple[Adapter, ...]
    waiting: tuple[Adapter, ...]


def plan_finalizers(
    seen: Observed,
    unmarked: Mapping[str, Adapter],
    terminating: Mapping[str, Adapter],
    distributed: Catalog,
    terminating_s: Mapping[str, float],
) -> FinalizerPlan:
    """Which finalizers change, of adapters that belong to the pool.

    Args:
        unmarked: adapters that pods shall have and that lack it; all are by adapter's key.
        terminating: adapters that are being deleted and have it.
        distributed: the catalog that pods were told last.
        terminating_s: seconds since its deletion was seen.
    """
    marked = [a for a in _in_order(terminating) if a.pool_key == seen.key]
    held = held_by_pods(seen, distributed) if marked else frozenset()
    kept = None if held is None else held | {key for key, served in seen.elsewhere.items() if served.is_held}
    late = {a.key for a in marked if terminating_s.get(a.key, 0.0) >= UNREGISTER_GRACE_S}
    free = late | {a.key for a in marked if kept is not None and a.key not in kept}
    is_paused = seen.pool is not None and seen.pool.metadata.is_paused
    return FinalizerPlan(
        add=tuple(a for a in _in_order(unmarked) if not is_paused and not a.metadata.is_paused),
        remove=tuple(a for a in marked if a.key in free),
        waiting=tuple(a for a in marked if a.key not in free),
    )


def _in_order(adapters: Mapping[str, Adapter]) -> tuple[Adapter, ...]:
    return tuple(adapters[key] for key in sorted(adapters))


def held_by_pods(seen: Observed, distributed: Catalog) -> frozenset[str] | None:
    """Keys of the adapters that some pod holds; None: a pod may hold any.

    A pod that never said which catalog it holds may hold any; the grace period bounds that. Pods of a pool that is gone
    are about to go too, and nobody may talk to them any more.
    """
    if seen.pool is None:
        return frozenset()
    catalogs = [_held(report, distributed) for _, report in seen.running_pods]
    known = {c.digest: c for c in catalogs if c is not None}
    return None if None in catalogs else frozenset(names.adapter_of(e.key) for c in known.values() for e in c.entries)


def _held(report: PodReport, distributed: Catalog) -> Catalog | None:
    """The catalog that the pod says it holds, where its content is known."""
    return next((c for c in (distributed, report.held) if c is not None and c.digest == report.digest), None)
