"""What the watches and lists brought: slim objects, found by pool."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from lorapool_api.kinds.adapter import NO_POOL, Adapter
from lorapool_api.kinds.pool import NamespacesFrom, Pool
from lorapool_api.schema import SharedFields
from lorapool_common.kube.resources import BUDGETS, NETWORK_POLICIES, SERVICES
from lorapool_operator.cluster.indexer import Body, Indexer
from lorapool_operator.seen.parse import deployment_view, owned_view, pod_view, replica_set_view
from lorapool_operator.seen.views import DeploymentView, OwnedView, PodView, ReplicaSetView, Standing

# Small objects of pools. They are watched, as Deployments are: what somebody does to them is seen at once.
OWNED_KINDS: Final = (SERVICES, BUDGETS, NETWORK_POLICIES)


class ObjectCache:
    """Everything that passes read; `on_change` is called with the key of each pool that a change concerns.

    Every pool concerns the adapters that have none: `NO_POOL`.
    """

    def __init__(self, on_change: Callable[[str], None]) -> None:
        self.pools: Indexer[Pool] = Indexer(Pool.model_validate, lambda pool: (pool.key, NO_POOL))
        self._fields = SharedFields()
        self.adapters: Indexer[Adapter] = Indexer(self._adapter, _pools_of)
        self.pods: Indexer[PodView] = Indexer(pod_view, lambda pod: (pod.pool,))
        self.replica_sets: Indexer[ReplicaSetView] = Indexer(replica_set_view, lambda replica_set: (replica_set.pool,))
        self.deployments: Indexer[DeploymentView] = Indexer(deployment_view, lambda deployment: (deployment.pool,))
        self.owned: dict[str, Indexer[OwnedView]] = {
            kind.kind: Indexer(owned_view, lambda view: (view.pool,)) for kind in OWNED_KINDS
        }
        self.namespaces: dict[str, dict[str, str]] = {}
        self.terminating_namespaces: set[str] = set()
        self._labels: Mapping[str, Mapping[str, str]] | None = None
        self._found: dict[str, set[str]] = {}
        self._on_change = on_change

    def _adapter(self, body: Body) -> Adapter:
        adapter = Adapter.model_validate(body)
        self._fields.share(adapter)  # there are thousands
        return adapter

    def put_own(self, body: Body, known: Adapter | None) -> set[str]:
        """Take over what a write of ours returned of an adapter, as `Indexer.refresh` does."""
        if known is not None:
            self._fields.share(known)
        return self.adapters.refresh(body, known)

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
        """Something became known of the source of the adapter of that key."""
        found = self.adapters.get(adapter)
        if found is not None:
            for pool in _pools_of(found):
                self._found.setdefault(pool, set()).add(adapter)
            self.wake(_pools_of(found))

    def take_found(self, pool: str) -> set[str]:
        """Keys of the pool's adapters of whose sources something became known since the last call."""
        return self._found.pop(pool, set())

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


def _pools_of(adapter: Adapter) -> frozenset[str]:
    """The pool that it belongs to, and the one that serves it until that one does."""
    return frozenset((adapter.pool_key, adapter.serving_pool))
