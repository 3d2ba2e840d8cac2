"""What the watches brought: slim objects, found by pool."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Generic, TypeVar

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.pool import NamespacesFrom, Pool
from lorapool_operator.seen.views import DeploymentView, PodView, ReplicaSetView

Object = Adapter | Pool | PodView | ReplicaSetView | DeploymentView
T = TypeVar("T", Adapter, Pool, PodView, ReplicaSetView, DeploymentView)


MAX_TOMBSTONES: Final = 4096


class Indexer(Generic[T]):
    """Objects of one kind, by key and by pool."""

    def __init__(self, pool_of: Callable[[T], str]) -> None:
        self._items: dict[str, T] = {}
        self._by_pool: dict[str, dict[str, T]] = {}
        self._tombstones: dict[str, int] = {}
        self._pool_of: Callable[[T], str] = pool_of

    def get(self, key: str) -> T | None:
        return self._items.get(key)

    def of_pool(self, pool: str) -> tuple[T, ...]:
        return tuple(self._by_pool.get(pool, {}).values())

    def pools(self) -> Iterator[str]:
        """Keys of pools that some object belongs to."""
        return iter(self._by_pool)

    def items(self) -> tuple[tuple[str, T], ...]:
        return tuple(self._items.items())

    def put(self, key: str, item: T) -> set[str]:
        """The pools that the change concerns; none if this is known already, or older than what is known."""
        old = self._items.get(key)
        if old is not None and _uid(old) == _uid(item) and _version(item) <= _version(old):
            return set()
        if _version(item) <= self._tombstones.get(_uid(item), -1):
            return set()
        concerned = self._take(key) | {self._pool_of(item)}
        self._items[key] = item
        self._by_pool.setdefault(self._pool_of(item), {})[key] = item
        return concerned

    def refresh(self, key: str, item: T) -> set[str]:
        """Take over what a write of ours returned, unless the object went in between.

        Returns the pools that it concerns: those of an object that somebody else edited before our write. What is
        returned has that edit already, so the watch that tells of it later brings nothing new.
        """
        old = self._items.get(key)
        if old is None or _uid(old) != _uid(item):
            return set()
        concerned = self.put(key, item)
        return concerned if _edited(old) != _edited(item) else set()

    def remove(self, key: str, last: T) -> set[str]:
        """Note that an object went; the pools that this concerns. A list that is older cannot bring it back."""
        known = self._items.get(key)
        self._tombstones[_uid(last)] = _version(last)
        if len(self._tombstones) > MAX_TOMBSTONES:
            del self._tombstones[next(iter(self._tombstones))]
        return self._take(key) if known is not None and _uid(known) == _uid(last) else set()

    def _take(self, key: str) -> set[str]:
        old = self._items.pop(key, None)
        if old is None:
            return set()
        pool = self._pool_of(old)
        rest = self._by_pool[pool]
        del rest[key]
        if not rest:
            del self._by_pool[pool]
        return {pool}


def _uid(item: Object) -> str:
    return item.metadata.uid if isinstance(item, Adapter | Pool) else item.uid


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
    """Everything that passes read; `on_change` is called with the key of each pool that a change concerns."""

    def __init__(self, on_change: Callable[[str], None]) -> None:
        self.pools: Indexer[Pool] = Indexer(lambda pool: pool.key)
        self.adapters: Indexer[Adapter] = Indexer(lambda adapter: adapter.pool_key)
        self.pods: Indexer[PodView] = Indexer(lambda pod: pod.pool)
        self.replica_sets: Indexer[ReplicaSetView] = Indexer(lambda replica_set: replica_set.pool)
        self.deployments: Indexer[DeploymentView] = Indexer(lambda deployment: deployment.pool)
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
        """Pools that exist or that somebody names."""
        return {*self.pools.pools(), *self.adapters.pools()}

    def wake(self, pools: Iterable[str]) -> None:
        for pool in pools:
            self._on_change(pool)

    def put_namespace(self, name: str, labels: Mapping[str, str] | None, *, is_terminating: bool = False) -> None:
        """Labels of a namespace, None when it went, and whether it is being deleted.

        Labels concern pools that select namespaces; the deletion concerns pools in it.
        """
        if is_terminating != (name in self.terminating_namespaces):
            (self.terminating_namespaces.add if is_terminating else self.terminating_namespaces.discard)(name)
            self.wake(p.key for _, p in self.pools.items() if p.metadata.namespace == name)
        if self.namespaces.get(name) == labels:
            return
        self._labels = None
        if labels is None:
            self.namespaces.pop(name, None)
        else:
            self.namespaces[name] = dict(labels)
        selecting = (p for _, p in self.pools.items() if p.spec.adapters.namespaces.from_ is NamespacesFrom.SELECTOR)
        self.wake(p.key for p in selecting)
