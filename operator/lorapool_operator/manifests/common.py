"""What all objects of a pool have in common."""

from typing import Any

from lorapool_api import names
from lorapool_api.kinds.pool import Pool

Manifest = dict[str, Any]


def labels(pool: Pool) -> dict[str, str]:
    """Labels of every object of the pool."""
    return {
        names.NAME_LABEL: names.RUNTIME_APP,
        names.INSTANCE_LABEL: pool.metadata.name,
        names.COMPONENT_LABEL: "runtime",
        names.MANAGED_BY_LABEL: names.MANAGED_BY,
        names.POOL_LABEL: pool.metadata.name,
    }


def selector(pool: Pool) -> dict[str, str]:
    """Labels that pick the pool's pods, and no others, in its namespace."""
    return {names.NAME_LABEL: names.RUNTIME_APP, names.POOL_LABEL: pool.metadata.name}


def metadata(pool: Pool, name: str) -> Manifest:
    """Metadata of an object that goes when the pool goes."""
    return {
        "name": name,
        "namespace": pool.metadata.namespace,
        "labels": labels(pool),
        "ownerReferences": [
            {
                "apiVersion": names.API_VERSION,
                "kind": names.POOL_KIND,
                "name": pool.metadata.name,
                "uid": pool.metadata.uid,
                "controller": True,
                "blockOwnerDeletion": False,
            }
        ],
    }
