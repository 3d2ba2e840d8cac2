"""What a look at a cluster brings, for the rules."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Manifest = dict[str, Any]


@dataclass(frozen=True)
class ClusterFacts:
    """Everything that the rules judge by.

    Attributes:
        crds: name of a definition -> it, or None where it is not there.
        deployments: those of operators and gateways, by their label `app.kubernetes.io/name`.
        pods: those of operators, gateways and pools.
        leases: of operators.
        denied: what the operator's account may not do, in words; None: this user may not ask.
        unreadable: what this user may not read.
    """

    now: datetime
    crds: Mapping[str, Manifest | None] = field(default_factory=dict)
    deployments: tuple[Manifest, ...] = ()
    pods: tuple[Manifest, ...] = ()
    leases: tuple[Manifest, ...] = ()
    denied: tuple[str, ...] | None = None
    pools: tuple[Manifest, ...] = ()
    adapters: tuple[Manifest, ...] = ()
    unreadable: tuple[str, ...] = ()


def app(manifest: Manifest) -> str:
    """Which program it runs."""
    return str((manifest["metadata"].get("labels") or {}).get("app.kubernetes.io/name", ""))


def full_name(manifest: Manifest) -> str:
    meta = manifest["metadata"]
    return f"{meta['namespace']}/{meta['name']}" if "namespace" in meta else str(meta["name"])
