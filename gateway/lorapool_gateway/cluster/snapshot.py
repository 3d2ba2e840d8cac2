"""What exists: pools, adapters and pods, as frozen values, and the names that requests may use for them."""

import ipaddress
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.pool import Pool
from lorapool_api.names import POOL_LABEL, SERVING_PORT, full_name, runtime_name, split_full_name
from lorapool_api.rules.claims import adapter_names, pool_names
from lorapool_gateway.cluster.names import Model, Names, name_all

__all__ = ["Model", "RuntimePod", "Snapshot", "by_pool", "other_names", "read_pod", "shortest_name"]

_HASH_LABEL = "pod-template-hash"
_NEVER: Final = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class RuntimePod:
    """A runtime pod that has an address."""

    uid: str
    name: str
    pool: str
    ip: str
    port: int = SERVING_PORT

    @property
    def url(self) -> str:
        host = f"[{self.ip}]" if ":" in self.ip else self.ip
        return f"http://{host}:{self.port}"


def read_pod(manifest: Mapping[str, Any]) -> RuntimePod | None:
    """The pod of a manifest, or None where it takes no requests: not of a pool, no address, ended, or on its way out.

    Requests go to the port that the project's pods serve, whatever ports a manifest names.
    """
    metadata, status = manifest["metadata"], manifest.get("status") or {}
    pool = (metadata.get("labels") or {}).get(POOL_LABEL)
    if not pool or status.get("phase") != "Running" or metadata.get("deletionTimestamp"):
        return None
    ip = _address(status.get("podIP"))
    if ip is None or not _is_owned(metadata, pool):
        return None
    return RuntimePod(metadata["uid"], metadata["name"], full_name(metadata["namespace"], pool), ip)


def _address(text: object) -> str | None:
    """The address as it is written; None where it is none that a pod can have."""
    try:
        address = ipaddress.ip_address(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return None if address is None or address.is_unspecified or address.is_multicast else str(address)


def _is_owned(metadata: Mapping[str, Any], pool: str) -> bool:
    """Whether a ReplicaSet of the pool's Deployment made the pod: anyone who may label pods can give one its label."""
    owner: Mapping[str, Any] = next((o for o in metadata.get("ownerReferences") or () if o.get("controller")), {})
    replicas = f"{runtime_name(pool)}-{(metadata.get('labels') or {}).get(_HASH_LABEL)}"
    group = str(owner.get("apiVersion")).partition("/")[0]
    return (group, owner.get("kind"), owner.get("name")) == ("apps", "ReplicaSet", replicas)


def by_pool(pods: Iterable[RuntimePod]) -> Mapping[str, tuple[RuntimePod, ...]]:
    """The pods of each pool that has any."""
    found: defaultdict[str, list[RuntimePod]] = defaultdict(list)
    for pod in pods:
        found[pod.pool].append(pod)
    return {pool: tuple(of_it) for pool, of_it in found.items()}


@dataclass(frozen=True)
class Snapshot:
    """Everything that is known at one moment; each mapping is by `namespace/name`, pods by uid.

    Attributes:
        named, pods_by_pool: where they are known from a snapshot before; else they are made when they are asked for.
    """

    pools: Mapping[str, Pool] = field(default_factory=dict)
    adapters: Mapping[str, Adapter] = field(default_factory=dict)
    pods: Mapping[str, RuntimePod] = field(default_factory=dict)
    named: Names | None = None
    pods_by_pool: Mapping[str, tuple[RuntimePod, ...]] | None = None

    def pods_of(self, pool: str) -> tuple[RuntimePod, ...]:
        return self._pods_by_pool.get(pool, ())

    @property
    def names(self) -> Mapping[str, frozenset[Model]]:
        """Every name with all that it may stand for. The full name of an object stands for that object alone."""
        return self.all_names.models

    @cached_property
    def all_names(self) -> Names:
        return name_all(self.pools, self.adapters) if self.named is None else self.named

    def meant_by(self, name: str) -> frozenset[Model]:
        """What the name stands for: of models in several namespaces, those of the one that had it first. No namespace
        can take a name from another so, or make it ambiguous; each has its full names besides."""
        models = self.names.get(name, frozenset())
        if len(models) < 2:
            return models
        first = min(models, key=lambda model: self._had_since(model, name))
        return frozenset(m for m in models if _namespace(m) == _namespace(first))

    def _had_since(self, model: Model, name: str) -> tuple[datetime, datetime, str]:
        """By its status, else by its creation, else by its full name."""
        found = self.adapters[model.adapter] if model.adapter else self.pools[model.pool]
        since = next((held.since for held in found.status.names if held.name == name), _NEVER)
        return since, found.metadata.creation_timestamp or _NEVER, model.full_name

    @property
    def known_names(self) -> Names | None:
        """The names where they are known or have been asked for: making them takes a while."""
        made: Names | None = self.__dict__.get("all_names")
        return made or self.named

    @cached_property
    def _pods_by_pool(self) -> Mapping[str, tuple[RuntimePod, ...]]:
        return by_pool(self.pods.values()) if self.pods_by_pool is None else self.pods_by_pool


def shortest_name(model: Model, snapshot: Snapshot) -> str:
    """The name to show: the object's own where it is unambiguous, else its full one."""
    short = model.full_name.partition("/")[2]
    return short if snapshot.meant_by(short) == frozenset({model}) else model.full_name


def other_names(model: Model, snapshot: Snapshot) -> tuple[str, ...]:
    """All names that a request may use for the model, in the order in which it claims them."""
    adapter = snapshot.adapters.get(model.adapter) if model.adapter else None
    claimed: Iterable[str] = adapter_names(adapter) if adapter else pool_names(snapshot.pools[model.pool])
    wanted = dict.fromkeys((*claimed, model.full_name))
    return tuple(n for n in wanted if snapshot.meant_by(n) == frozenset({model}))


def _namespace(model: Model) -> str:
    return split_full_name(model.full_name)[0]
