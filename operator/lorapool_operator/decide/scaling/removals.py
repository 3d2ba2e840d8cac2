"""Which pods go when there are to be fewer: the idlest, and of those the one whose adapters others have too."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lorapool_api.wire.state import AdapterPhase
from lorapool_operator.seen.observed import Observed
from lorapool_operator.seen.views import PodView

# Below what a pod without the annotation has: of those that are ready the ReplicaSet controller takes the lowest first.
FIRST_TO_GO: Final = "-1"


@dataclass(frozen=True)
class PodUse:
    """What a pod is worth.

    Attributes:
        requests: that it works on, or that wait in it.
        holds: keys of the adapters that it has on its disk.
    """

    name: str
    is_ready: bool
    requests: int
    holds: frozenset[str] = frozenset()


@dataclass(frozen=True)
class DeletionCost:
    """The annotation that a pod shall have; None: it is taken off."""

    pod: PodView
    cost: str | None


def first_to_go(pods: Sequence[PodUse], count: int) -> frozenset[str]:
    """Names of the pods that go. What only those hold that go together counts as lost."""
    left, gone = list(pods), set()
    for _ in range(min(count, len(left))):
        holders = Counter(key for pod in left for key in pod.holds)
        goes = min(left, key=lambda pod: (pod.is_ready, pod.requests, _sole(pod, holders), pod.name))
        left.remove(goes)
        gone.add(goes.name)
    return frozenset(gone)


def _sole(pod: PodUse, holders: Counter[str]) -> int:
    """Adapters that no other pod holds."""
    return sum(holders[key] == 1 for key in pod.holds)


def deletion_costs(seen: Observed) -> tuple[DeletionCost, ...]:
    """The annotations to write before the Deployment gets fewer replicas."""
    pool, deployment = seen.pool, seen.deployment
    if pool is None or deployment is None or not 0 < pool.spec.replicas < deployment.replicas:
        return ()
    pods = [pod for pod in seen.pods if pod.counts]
    go = first_to_go([_use(pod, seen) for pod in pods], len(pods) - pool.spec.replicas)
    wanted = ((pod, FIRST_TO_GO if pod.name in go else None) for pod in pods)
    # Another cost is somebody else's, unless it is in the way.
    return tuple(
        DeletionCost(pod, cost)
        for pod, cost in wanted
        if pod.deletion_cost != cost and (cost is not None or pod.deletion_cost == FIRST_TO_GO)
    )


def _use(pod: PodView, seen: Observed) -> PodUse:
    said = seen.report(pod).adapters
    holds = frozenset(key for key, state in said.items() if state.phase is AdapterPhase.READY)
    return PodUse(pod.name, pod.ready, seen.requests.get(pod.uid, 0), holds)
