"""The NetworkPolicy of a pool: who reaches which port of its pods."""

from collections.abc import Sequence

from lorapool_api import names
from lorapool_api.kinds.pool import Pool
from lorapool_operator.manifests.common import Manifest, metadata, selector
from lorapool_operator.settings import NetworkPeers


def network_policy(pool: Pool, peers: NetworkPeers) -> Manifest:
    """Requests come from gateways, control calls from operators and from the other pods of the pool, which fetch files
    from each other. The kubelet's probes are always let through. Egress is not the policy's: pods load from anywhere.
    """
    others = {"podSelector": {"matchLabels": selector(pool)}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(pool, names.runtime_name(pool.metadata.name)),
        "spec": {
            "podSelector": {"matchLabels": selector(pool)},
            "policyTypes": ["Ingress"],
            "ingress": [
                _rule(names.SERVING_PORT, (*peers.gateways, *peers.metrics)),
                _rule(names.CONTROL_PORT, (*peers.operators, others)),
            ],
        },
    }


def _rule(port: int, peers: Sequence[Manifest]) -> Manifest:
    """By number: not every network plugin knows the names of ports."""
    return {"ports": [{"port": port, "protocol": "TCP"}], "from": list(peers)}
