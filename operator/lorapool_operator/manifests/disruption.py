"""The PodDisruptionBudget of a pool."""

from lorapool_api import names
from lorapool_api.kinds.pool import Pool
from lorapool_operator.manifests.common import Manifest, metadata, selector


def disruption_budget(pool: Pool) -> Manifest:
    """A drain takes one pod at a time. Not `minAvailable: 1`: with one replica it would block drains for ever."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(pool, names.runtime_name(pool.metadata.name)),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": selector(pool)}},
    }
