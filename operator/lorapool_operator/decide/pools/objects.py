"""Which objects a pool needs, and when a roll-out must give way."""

from datetime import timedelta
from typing import Final

from lorapool_operator.decide.pools.model_status import known_commits
from lorapool_operator.manifests.objects import WantedObjects
from lorapool_operator.manifests.pinned import pinned
from lorapool_operator.seen.observed import Observed
from lorapool_operator.seen.views import PodTrouble

# How long a new pod may look for a node beside the old ones. An autoscaler needs minutes; the old ones serve meanwhile.
GIVE_WAY_AFTER: Final = timedelta(minutes=3)


def wanted_objects(seen: Observed) -> WantedObjects | None:
    """None where there is no pool.

    While the commit of the base model is looked up no Deployment is made: pods that start with a branch would be
    replaced as soon as it is known.
    """
    pool, resolution = seen.pool, seen.base_resolution
    if pool is None:
        return None
    at_commits = None if resolution.is_pending else pinned(pool, known_commits(pool, resolution))
    return WantedObjects(pool, at_commits, must_give_way(seen))


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
