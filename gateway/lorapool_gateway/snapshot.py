"""What exists: pools, adapters and pods, as frozen values, and the names that requests may use for them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from lorapool_api.adapter import Adapter
from lorapool_api.claims import adapter_names, pool_names, settle
from lorapool_api.conditions import AdapterCondition, Reason, find
from lorapool_api.names import POOL_LABEL, RUNTIME_CONTAINER, SERVING_PORT, SERVING_PORT_NAME, full_name
from lorapool_api.pool import NamespacesFrom, Pool


@dataclass(frozen=True)
class Pod:
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


def read_pod(manifest: Mapping[str, Any]) -> Pod | None:
    """The pod of a manifest, or None where it cannot take requests: no address, ended, or on its way out."""
    metadata, status = manifest["metadata"], manifest.get("status", {})
    ip, pool = status.get("podIP"), metadata.get("labels", {}).get(POOL_LABEL)
    if not ip or not pool or status.get("phase") != "Running" or metadata.get("deletionTimestamp"):
        return None
    key = full_name(metadata["namespace"], pool)
    return Pod(metadata["uid"], metadata["name"], key, ip, _serving_port(manifest))


def _serving_port(manifest: Mapping[str, Any]) -> int:
    containers = manifest.get("spec", {}).get("containers", ())
    ports = (p for c in containers if c["name"] == RUNTIME_CONTAINER for p in c.get("ports", ()))
    return next((int(p["containerPort"]) for p in ports if p.get("name") == SERVING_PORT_NAME), SERVING_PORT)


@dataclass(frozen=True)
class Model:
    """What a name stands for: the bare base of a pool, or one adapter of it."""

    pool: str
    adapter: str | None = None

    @property
    def full_name(self) -> str:
        return self.adapter or self.pool


@dataclass(frozen=True)
class Snapshot:
    """Everything that is known at one moment; each mapping is by `namespace/name`, pods by uid."""

    pools: Mapping[str, Pool] = field(default_factory=dict)
    adapters: Mapping[str, Adapter] = field(default_factory=dict)
    pods: Mapping[str, Pod] = field(default_factory=dict)

    def pods_of(self, pool: str) -> tuple[Pod, ...]:
        return tuple(pod for pod in self.pods.values() if pod.pool == pool)

    @cached_property
    def names(self) -> Mapping[str, frozenset[Model]]:
        """Every name with all that it may stand for. The full name of an object stands for that object alone."""
        names: defaultdict[str, set[Model]] = defaultdict(set)
        losers: set[str] = set()
        for pool in self.pools.values():
            claims = settle(pool, self._members[pool.key])
            losers |= claims.conflicts.keys()
            for name, owner in claims.owners.items():
                names[name].add(Model(pool.key, None if owner == pool.key else owner))
        self._add_the_unclaimed(names, losers)
        full = {key: {Model(a.pool_key, key)} for key, a in self.adapters.items()}
        full |= {key: {Model(key)} for key in self.pools}
        return {name: frozenset(models) for name, models in (names | full).items()}

    def _add_the_unclaimed(self, names: dict[str, set[Model]], losers: Set[str]) -> None:
        """Names of adapters that no pool has taken in, or that lost a name, where nobody else has it: the error tells
        why.
        """
        orphans = [a for a in self.adapters.values() if a.key not in self._taken_in or a.key in losers]
        taken = frozenset(names)
        for adapter in orphans:
            for name in adapter_names(adapter):
                if name not in taken:
                    names.setdefault(name, set()).add(Model(adapter.pool_key, adapter.key))

    @cached_property
    def _members(self) -> Mapping[str, tuple[Adapter, ...]]:
        members: dict[str, list[Adapter]] = {key: [] for key in self.pools}
        for adapter in self.adapters.values():
            pool = self.pools.get(adapter.pool_key)
            if pool and may_join(adapter, pool):
                members[pool.key].append(adapter)
        return {key: tuple(adapters) for key, adapters in members.items()}

    @cached_property
    def _taken_in(self) -> frozenset[str]:
        return frozenset(a.key for adapters in self._members.values() for a in adapters)


def may_join(adapter: Adapter, pool: Pool) -> bool:
    """Whether the pool takes adapters of that namespace. For a label selector that is the operator's verdict."""
    match pool.spec.adapters.namespaces.from_:
        case NamespacesFrom.ALL:
            return True
        case NamespacesFrom.SAME:
            return adapter.metadata.namespace == pool.metadata.namespace
    accepted = find(adapter.status.conditions, AdapterCondition.ACCEPTED)
    return accepted is not None and accepted.reason is not Reason.NAMESPACE_NOT_ALLOWED


def shortest_name(model: Model, snapshot: Snapshot) -> str:
    """The name to show: the object's own where it is unambiguous, else its full one."""
    short = model.full_name.partition("/")[2]
    return short if snapshot.names.get(short) == frozenset({model}) else model.full_name


def other_names(model: Model, snapshot: Snapshot) -> tuple[str, ...]:
    """All names that a request may use for the model, in the order in which it claims them."""
    adapter = snapshot.adapters.get(model.adapter) if model.adapter else None
    claimed: Iterable[str] = adapter_names(adapter) if adapter else pool_names(snapshot.pools[model.pool])
    wanted = dict.fromkeys((*claimed, model.full_name))
    return tuple(n for n in wanted if snapshot.names.get(n) == frozenset({model}))
