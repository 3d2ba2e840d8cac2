"""What the watches and lists brought: slim objects, found by pool."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Final, Generic, TypeVar

import structlog
from pydantic import ValidationError

from lorapool_api.kinds.adapter import NO_POOL, Adapter
from lorapool_api.kinds.pool import NamespacesFrom, Pool
from lorapool_api.names import full_name
from lorapool_common.kube.resources import BUDGETS, SERVICES
from lorapool_operator.seen.parse import deployment_view, owned_view, pod_view, replica_set_view
from lorapool_operator.seen.views import DeploymentView, OwnedView, PodView, ReplicaSetView, Standing

log = structlog.get_logger(__name__)

Body = Mapping[str, Any]
Object = Adapter | Pool | PodView | ReplicaSetView | DeploymentView | OwnedView
T = TypeVar("T", Adapter, Pool, PodView, ReplicaSetView, DeploymentView, OwnedView)


MAX_TOMBSTONES: Final = 4096
# Small objects of pools that are watched, so that what somebody does to them is seen at once. Secrets are not: whoever
# may watch them may read them.
OWNED_KINDS: Final = (SERVICES, BUDGETS)


class Indexer(Generic[T]):
    """Objects of one kind, by key and by the pools that they concern. A change is answered with these pools."""

    def __init__(self, read: Callable[[Body], T], pools_of: Callable[[T], Collection[str]]) -> None:
        self._items: dict[str, T] = {}
        self._by_pool: dict[str, dict[str, T]] = {}
        self._tombstones: dict[str, int] = {}
        self._read: Callable[[Body], T] = read
        self._pools_of: Callable[[T], Collection[str]] = pools_of

    def get(self, key: str) -> T | None:
        return self._items.get(key)

    def of_pool(self, pool: str) -> tuple[T, ...]:
        return tuple(self._by_pool.get(pool, {}).values())

    def pools(self) -> Iterator[str]:
        """Keys of pools that some object belongs to."""
        return iter(self._by_pool)

    def items(self) -> tuple[tuple[str, T], ...]:
        return tuple(self._items.items())

    def put_manifest(self, body: Body) -> set[str]:
        """As `put`. A manifest that cannot be read is logged and left out."""
        item = self._readable(body)
        return set() if item is None else self.put(_key(body), item)

    def remove_manifest(self, body: Body) -> set[str]:
        """As `remove`."""
        item = self._readable(body)
        return set() if item is None else self.remove(_key(body), item)

    def remove_all_but(self, before: Iterable[tuple[str, T]], listed: Iterable[Body]) -> set[str]:
        """Remove what was there before a list was asked for, and is not in it."""
        present = {body["metadata"]["uid"] for body in listed}
        gone = [self.remove(key, item) for key, item in before if _uid(item) not in present]
        return set().union(*gone)

    def put(self, key: str, item: T) -> set[str]:
        """None are concerned if this is known already, or older than what is known."""
        old = self._items.get(key)
        if old is not None and _uid(old) == _uid(item) and _version(item) <= _version(old):
            return set()
        if _version(item) <= self._tombstones.get(_uid(item), -1):
            return set()
        pools = self._pools_of(item)
        concerned = self._take(key) | set(pools)
        self._items[key] = item
        for pool in pools:
            self._by_pool.setdefault(pool, {})[key] = item
        return concerned

    def refresh(self, body: Body) -> set[str]:
        """Take over what a write of ours returned, unless the object went in between.

        Concerned are the pools of an object that somebody else edited before our write. What is returned has that edit
        already, so the watch that tells of it later brings nothing new. So are those of one that has other pools now.
        """
        key, item = _key(body), self._read(body)
        old = self._items.get(key)
        if old is None or _uid(old) != _uid(item):
            return set()
        concerned = self.put(key, item)
        is_news = _edited(old) != _edited(item) or set(self._pools_of(old)) != set(self._pools_of(item))
        return concerned if is_news else set()

    def remove(self, key: str, last: T) -> set[str]:
        """Note that an object went. A list that is older cannot bring it back."""
        known = self._items.get(key)
        self._tombstones[_uid(last)] = _version(last)
        if len(self._tombstones) > MAX_TOMBSTONES:
            del self._tombstones[next(iter(self._tombstones))]
        return self._take(key) if known is not None and _uid(known) == _uid(last) else set()

    def _take(self, key: str) -> set[str]:
        old = self._items.pop(key, None)
        if old is None:
            return set()
        pools = set(self._pools_of(old))
        for pool in pools:
            rest = self._by_pool[pool]
            del rest[key]
            if not rest:
                del self._by_pool[pool]
        return pools

    def _readable(self, body: Body) -> T | None:
        try:
            return self._read(body)
        except ValidationError as error:
            log.warning("an object cannot be read", kind=body.get("kind"), object=_key(body), error=str(error))
            return None


def _key(body: Body) -> str:
    return full_name(body["metadata"]["namespace"], body["metadata"]["name"])


def _uid(item: Object) -> str:
    return item.metadata.uid if isinstance(item, Adapter | Pool) else item.uid


def _pools_of(adapter: Adapter) -> frozenset[str]:
    """The pool that it belongs to, and the one that serves it until that one does."""
    return frozenset((adapter.pool_key, adapter.serving_pool))


def _edited(item: Object) -> tuple[object, ...]:
    """What no write of ours changes."""
    if isinstance(item, Adapter | Pool):
        return item.metadata.generation, item.metadata.annotations, item.metadata.is_terminating
    return ()


def _version(item: Object) -> int:
    """Resource versions of one object grow; a reply to a write may overtake the watch."""
    text = item.metadata.resource_version if isinstance(item, Adapter | Pool) else item.resource_version
    return int(text) if text.isdecimal() else 0


class ObjectCache:
    """Everything that passes read; `on_change` is called with the key of each pool that a change concerns.

    Every pool concerns the adapters that have none: `NO_POOL`.
    """

    def __init__(self, on_change: Callable[[str], None]) -> None:
        self.pools: Indexer[Pool] = Indexer(Pool.model_validate, lambda pool: (pool.key, NO_POOL))
        self.adapters: Indexer[Adapter] = Indexer(Adapter.model_validate, _pools_of)
        self.pods: Indexer[PodView] = Indexer(pod_view, lambda pod: (pod.pool,))
        self.replica_sets: Indexer[ReplicaSetView] = Indexer(replica_set_view, lambda replica_set: (replica_set.pool,))
        self.deployments: Indexer[DeploymentView] = Indexer(deployment_view, lambda deployment: (deployment.pool,))
        self.owned: dict[str, Indexer[OwnedView]] = {
            kind.kind: Indexer(owned_view, lambda view: (view.pool,)) for kind in OWNED_KINDS
        }
        self.namespaces: dict[str, dict[str, str]] = {}
        self.terminating_namespaces: set[str] = set()
        self._labels: Mapping[str, Mapping[str, str]] | None = None
        self._on_change = on_change

    def namespace_labels(self) -> Mapping[str, Mapping[str, str]]:
        """As they are now; what changes later does not change it."""
        if self._labels is None:
            self._labels = dict(self.namespaces)
        return self._labels

    def known_pools(self) -> set[str]:
        """Pools that exist or that some adapter belongs to; `NO_POOL` too."""
        return {*self.pools.pools(), *self.adapters.pools()}

    def living_pool(self, key: str) -> Pool | None:
        """The pool; None where there is none of that name, where it is being deleted, or its namespace is."""
        pool = self.pools.get(key)
        if pool is None or pool.metadata.is_terminating or pool.metadata.namespace in self.terminating_namespaces:
            return None
        return pool

    def living_pools(self) -> tuple[Pool, ...]:
        """All of them."""
        return tuple(pool for key, _ in self.pools.items() if (pool := self.living_pool(key)) is not None)

    def standing(self, pool: str) -> dict[str, Standing]:
        """What there is with the label of that pool, by kind and name, of kinds that are watched."""
        found = {f"{kind}/{v.name}": v.standing for kind, of in self.owned.items() for v in of.of_pool(pool)}
        return found | {f"Deployment/{v.name}": v.standing for v in self.deployments.of_pool(pool)}

    def put_written(self, body: Body) -> None:
        """Take over what a write of ours returned of a pool's object; it concerns nobody."""
        indexer = self.deployments if body["kind"] == "Deployment" else self.owned.get(body["kind"])
        if indexer is not None:
            indexer.put_manifest(body)

    def wake(self, pools: Iterable[str]) -> None:
        for pool in pools:
            self._on_change(pool)

    def wake_pools_of(self, adapter: str) -> None:
        """Something became known of the adapter of that key."""
        found = self.adapters.get(adapter)
        if found is not None:
            self.wake(_pools_of(found))

    def put_namespace(self, body: Body) -> None:
        """Its labels concern pools that select namespaces; its deletion concerns pools in it."""
        meta = body["metadata"]
        self._mark(meta["name"], is_terminating="deletionTimestamp" in meta)
        self._label(meta["name"], dict(meta.get("labels") or {}))

    def remove_namespace(self, name: str) -> None:
        self._mark(name, is_terminating=False)
        self._label(name, None)

    def _mark(self, name: str, *, is_terminating: bool) -> None:
        if is_terminating != (name in self.terminating_namespaces):
            (self.terminating_namespaces.add if is_terminating else self.terminating_namespaces.discard)(name)
            self._wake_pools(p.key for _, p in self.pools.items() if p.metadata.namespace == name)

    def _label(self, name: str, labels: dict[str, str] | None) -> None:
        if self.namespaces.get(name) == labels:
            return
        self._labels = None
        if labels is None:
            self.namespaces.pop(name, None)
        else:
            self.namespaces[name] = labels
        selecting = (p for _, p in self.pools.items() if p.spec.adapters.namespaces.from_ is NamespacesFrom.SELECTOR)
        self._wake_pools(p.key for p in selecting)

    def _wake_pools(self, pools: Iterable[str]) -> None:
        """These, and who looks for a pool for adapters that have none."""
        keys = list(pools)
        self.wake((*keys, NO_POOL) if keys else ())
