"""All objects of a pool."""

from dataclasses import dataclass

from lorapool_api.kinds.pool import Pool
from lorapool_operator.manifests.common import Manifest
from lorapool_operator.manifests.deployment import Installation, deployment
from lorapool_operator.manifests.disruption import disruption_budget
from lorapool_operator.manifests.network import network_policy
from lorapool_operator.manifests.service import service
from lorapool_operator.settings import NetworkPeers


@dataclass(frozen=True)
class WantedObjects:
    """What there shall be for a pool.

    Attributes:
        at_commits: the pool as its pods shall read it; None: its Deployment stays as it is for now.
        unavailable: how many old pods a rollout may take down before their successors run.
    """

    pool: Pool
    at_commits: Pool | None
    unavailable: int


def manifests(
    wanted: WantedObjects, installation: Installation, peers: NetworkPeers | None = None
) -> tuple[Manifest, ...]:
    """In the order to apply them: what pods need, and what keeps others from them, comes before the Deployment.

    Args:
        peers: who may reach the pods; None: no NetworkPolicy is made.
    """
    pool = wanted.pool
    policies = () if peers is None else (network_policy(pool, peers),)
    small = (*policies, service(pool), disruption_budget(pool))
    if wanted.at_commits is None:
        return small
    return (*small, deployment(wanted.at_commits, installation, unavailable=wanted.unavailable))
