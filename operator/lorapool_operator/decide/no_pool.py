"""A pass over the adapters that belong to no pool, decided as a whole."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.conditions import AdapterCondition
from lorapool_operator.decide.adapters.adapter_status import WantedStatus, wanted_status
from lorapool_operator.decide.adapters.checker import CheckResult
from lorapool_operator.decide.adapters.checks import Finding
from lorapool_operator.decide.adapters.find_pool import FoundPool, find_pool
from lorapool_operator.decide.adapters.in_pods.status_input import StatusInput
from lorapool_operator.decide.adapters.names import Labels
from lorapool_operator.decide.adapters.pool_pods import PoolPods
from lorapool_operator.decide.events import adapter_events
from lorapool_operator.decide.plan import StatusWrite
from lorapool_operator.placement.place import NO_COPIES
from lorapool_operator.seen.desired import DesiredPool
from lorapool_operator.seen.finalizer import has_finalizer
from lorapool_operator.seen.resolution import Outcome, Resolution, Resolving


@dataclass(frozen=True)
class SeenWithoutPool:
    """What the pass decides by.

    Attributes:
        adapters: those that belong to no pool, also those being deleted.
        outcomes: adapter's key -> what its source turned out to be.
        pools: all that there are.
    """

    adapters: tuple[Adapter, ...]
    outcomes: Mapping[str, Outcome]
    pools: tuple[DesiredPool, ...]
    namespace_labels: Mapping[str, Labels]
    now: datetime


@dataclass(frozen=True)
class NoPoolPlan:
    """What the pass does.

    Attributes:
        resolve: adapters whose cards are to be read, where that is not done.
        remove: adapters that are being deleted, and bear our finalizer: no pod has them.
    """

    resolve: tuple[Adapter, ...]
    remove: tuple[Adapter, ...]
    writes: tuple[StatusWrite, ...]
    by_reason: Mapping[str, int]


def decide_without_pool(seen: SeenWithoutPool) -> NoPoolPlan:
    """The plan of the pass. Once the status names a pool, that one goes on."""
    live = tuple(a for a in seen.adapters if not a.metadata.is_terminating)
    wanted = [_status(adapter, seen) for adapter in live]
    writes = (StatusWrite(w.adapter, w.status, adapter_events(w.adapter, w.status)) for w in wanted if w.is_new)
    return NoPoolPlan(
        resolve=tuple(a for a in live if a.spec.source.hub is not None and not a.spec.suspend),
        remove=tuple(a for a in seen.adapters if a.metadata.is_terminating and has_finalizer(a)),
        writes=tuple(writes),
        by_reason=Counter(w.status.summary or "" for w in wanted),
    )


def _status(adapter: Adapter, seen: SeenWithoutPool) -> WantedStatus:
    outcome = seen.outcomes.get(adapter.key, Resolving())
    found: FoundPool = find_pool(adapter, outcome, seen.pools, seen.namespace_labels)
    resolution = outcome if isinstance(outcome, Resolution) else None
    result = CheckResult(adapter, Finding(AdapterCondition.ACCEPTED, found.verdict), resolution, None)
    pods = PoolPods(found.pool, replicas=None, running=0, warm=0, token_refusal=None)
    return wanted_status(StatusInput(result, pods, NO_COPIES, (), now=seen.now))
