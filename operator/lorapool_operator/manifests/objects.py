"""All objects of a pool."""

from dataclasses import dataclass

from lorapool_api.kinds.pool import Pool
from lorapool_operator.manifests.common import Manifest
from lorapool_operator.manifests.deployment import Installation, deployment
from lorapool_operator.manifests.disruption import disruption_budget
from lorapool_operator.manifests.secret import control_secret
from lorapool_operator.manifests.service import service


@dataclass(frozen=True)
class WantedObjects:
    """What there shall be for a pool.

    Attributes:
        at_commits: the pool as its pods shall read it; None: its Deployment stays as it is for now.
        unavailable: how many old pods a roll-out may take down before their successors run.
    """

    pool: Pool
    at_commits: Pool | None
    unavailable: int


def manifests(wanted: WantedObjects, installation: Installation, token: str) -> tuple[Manifest, ...]:
    """In the order to apply them: what pods need comes before the Deployment."""
    pool = wanted.pool
    small = (control_secret(pool, token), service(pool), disruption_budget(pool))
    if wanted.at_commits is None:
        return small
    return (*small, deployment(wanted.at_commits, installation, unavailable=wanted.unavailable))
