"""The Service of a pool: a stable name for its pods that take requests."""

from lorapool_api import names
from lorapool_api.kinds.pool import Pool
from lorapool_operator.manifests.common import Manifest, metadata, selector


def service(pool: Pool) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(pool, names.runtime_name(pool.metadata.name)),
        "spec": {
            "type": "ClusterIP",
            # Both families where the cluster has both: pods listen on all of their addresses.
            "ipFamilyPolicy": "PreferDualStack",
            "selector": selector(pool),
            "ports": [
                {
                    "name": names.SERVING_PORT_NAME,
                    "port": names.SERVING_PORT,
                    "targetPort": names.SERVING_PORT_NAME,
                    "protocol": "TCP",
                }
            ],
        },
    }


def service_url(pool: Pool) -> str:
    """Where the Service is in the cluster."""
    return f"http://{names.runtime_name(pool.metadata.name)}.{pool.metadata.namespace}.svc:{names.SERVING_PORT}"
