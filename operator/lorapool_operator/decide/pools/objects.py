"""Which objects a pool needs."""

from lorapool_operator.decide.pools.model_status import known_commits
from lorapool_operator.decide.pools.rolling import RollingUpdate
from lorapool_operator.manifests.contract import template_problem
from lorapool_operator.manifests.objects import WantedObjects
from lorapool_operator.manifests.pinned import pinned
from lorapool_operator.seen.observed import Observed


def wanted_objects(seen: Observed, rollout: RollingUpdate) -> WantedObjects | None:
    """None where there is no pool.

    While the commit of the base model is looked up no Deployment is made: pods that start with a branch would be
    replaced as soon as it is known. Where no pods can be made of the podTemplate, those of before serve on.
    """
    pool, resolution = seen.pool, seen.base_resolution
    if pool is None:
        return None
    is_held_back = resolution.is_pending or template_problem(pool) is not None
    at_commits = None if is_held_back else pinned(pool, known_commits(pool, resolution))
    return WantedObjects(pool, at_commits, rollout.unavailable(pool))
