"""How far a rollout gives way: how many old pods it may take down before their successors run.

A new pod beside the old ones costs no request, and needs a GPU that nobody uses. Nobody knows whether there is one
before a pod has looked for it. So a rollout begins with surge alone; where a new pod finds no room, old ones make it.
"""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Self

from lorapool_api.kinds.pool import Pool
from lorapool_operator.seen.observed import Observed
from lorapool_operator.seen.views import PodTrouble, PodView

# How long a new pod may look for room beside the old ones. An autoscaler needs minutes; the old ones serve meanwhile.
GIVE_WAY_AFTER: Final = timedelta(minutes=3)
# What an old pod's end can help. A template that asks for a node that there is not finds none then either.
_ROOM: Final = re.compile(r"\bInsufficient |\bToo many pods\b|\bfree ports\b")
_QUOTA: Final = "exceeded quota"


@dataclass(frozen=True)
class RollingUpdate:
    """What is remembered of a rollout until it is done.

    Attributes:
        newest: uid of the ReplicaSet that it makes pods of; None: there is none yet.
        room: the most pods that had a node at once: as many have room together.
        gives_way: whether a new pod has found none.
    """

    newest: str | None = None
    room: int = 0
    gives_way: bool = False

    def after(self, seen: Observed) -> Self:
        """What is remembered from now on."""
        room, finds_none = sum(map(_has_room, seen.pods)), bool(seen.outdated) and _finds_no_room(seen)
        if seen.newest != self.newest or not seen.outdated:
            return type(self)(seen.newest, room, finds_none)
        return type(self)(self.newest, max(self.room, room), self.gives_way or finds_none)

    def unavailable(self, pool: Pool) -> int:
        """Pods that may be missing. In a pool that never found room for all, those are missing already."""
        return max(1, pool.spec.replicas - self.room + 1) if self.gives_way else 0


NO_ROLLOUT: Final = RollingUpdate()


def _has_room(pod: PodView) -> bool:
    """One that ends has it still."""
    return pod.has_node and pod.phase not in ("Succeeded", "Failed")


def _finds_no_room(seen: Observed) -> bool:
    deployment = seen.deployment
    since = [
        p.problem.since
        for p in seen.pods
        if p.counts
        and p.key not in seen.outdated
        and p.problem is not None
        and p.problem.kind is PodTrouble.UNSCHEDULABLE
        and _ROOM.search(p.problem.message)
    ]
    if deployment is not None and _QUOTA in (deployment.failure or ""):
        since.append(deployment.failing_since)
    return any(time is not None and seen.now - time >= GIVE_WAY_AFTER for time in since)
