"""What a pass sees, taken from the cache and from what pods and sources said so far. Starts nothing and waits for
nothing."""

from collections.abc import Iterable, Mapping

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.pool import Pool
from lorapool_api.names import full_name, runtime_name, split_full_name
from lorapool_operator.cluster.cache import ObjectCache
from lorapool_operator.pods.links import PodLinks
from lorapool_operator.reconcile.context import Context
from lorapool_operator.seen.changed import changed_keys
from lorapool_operator.seen.handover import ServedElsewhere
from lorapool_operator.seen.observed import Observed
from lorapool_operator.seen.resolution import NOTHING_TO_RESOLVE, Outcome
from lorapool_operator.seen.verdict import Verdict
from lorapool_operator.seen.views import DeploymentView, newest_replica_set, owned_pods


class Observer:
    """Takes snapshots of one pool. Sources of adapters are asked about again where something may be new."""

    def __init__(self, key: str, context: Context) -> None:
        self._key = key
        self._ctx = context
        self._adapters: Mapping[str, Adapter] = {}
        self._outcomes: Mapping[str, Outcome] = {}
        self._to_ask: set[str] = set()
        self._moving: Mapping[str, Adapter] = {}
        self._scaled: Pool | None = None

    def look(self, pods: PodLinks, refusal: Verdict | None) -> Observed:
        """A snapshot: what changes later does not change it."""
        key, context, cache = self._key, self._ctx, self._ctx.cache
        namespace, _ = split_full_name(key)
        pool = cache.living_pool(key)
        deployment, replica_sets = _deployment(cache, key), cache.replica_sets.of_pool(key)
        adapters = cache.adapters.of_pool(key)
        self._follow({adapter.key: adapter for adapter in adapters})
        owned = owned_pods(cache.pods.of_pool(key), replica_sets, deployment)
        return Observed(
            key=key,
            pool=pool and self._at_scale(pool, deployment),
            adapters=adapters,
            pods=owned,
            deployment=deployment,
            outcomes=self._outcomes,
            reports=pods.reports(),
            bases=pods.bases,
            namespace_labels=cache.namespace_labels(),
            url_hosts=context.settings.url_hosts,
            now=context.now(),
            clock_s=context.clock(),
            refusal=refusal,
            base_resolution=context.bases.known(pool) if pool else NOTHING_TO_RESOLVE,
            elsewhere=self._elsewhere(),
            is_namespace_terminating=namespace in cache.terminating_namespaces,
            standing=cache.standing(key),
            newest=newest_replica_set(replica_sets, deployment),
            requests=context.scaler.requests(tuple(pod.uid for pod in owned)),
            scaling_problem=context.scaler.problem(pool) if pool else None,
        )

    def ask_again(self, adapters: Iterable[str]) -> None:
        """The sources of these are being resolved: something else may be known of them without a word about it."""
        self._to_ask.update(adapters)

    def _at_scale(self, pool: Pool, deployment: DeploymentView | None) -> Pool:
        """The pool with as many replicas as it shall have now; the same object for as long as that is the same."""
        replicas = self._ctx.scaler.replicas(pool, deployment)
        if replicas == pool.spec.replicas:
            return pool
        scaled = pool.model_copy(update={"spec": pool.spec.model_copy(update={"replicas": replicas})})
        if self._scaled is None or self._scaled != scaled:
            self._scaled = scaled
        return self._scaled

    def _follow(self, adapters: Mapping[str, Adapter]) -> None:
        changed = changed_keys(self._adapters, adapters)
        to_ask = changed | self._to_ask | self._ctx.cache.take_found(self._key)
        if not to_ask:
            return
        moving, outcomes = dict(self._moving), dict(self._outcomes)
        for key in changed:
            moving.pop(key, None)
            if key in adapters and self._leaves_another(adapters[key]):
                moving[key] = adapters[key]
        for key in to_ask:
            adapter = adapters.get(key)
            if adapter is None or adapter.metadata.is_terminating:
                outcomes.pop(key, None)
            else:
                outcomes[key] = self._ctx.resolver.known(adapter)
        self._adapters, self._moving, self._outcomes, self._to_ask = adapters, moving, outcomes, set()

    def _leaves_another(self, adapter: Adapter) -> bool:
        return (adapter.status.pool_name or self._key) != self._key and adapter.pool_key == self._key

    def _elsewhere(self) -> dict[str, ServedElsewhere]:
        """How adapters of the pool fare in those that they leave, by their keys."""
        said = ((key, self._ctx.handovers.served_elsewhere(adapter)) for key, adapter in self._moving.items())
        return {key: served for key, served in said if served is not None}


def _deployment(cache: ObjectCache, key: str) -> DeploymentView | None:
    """The pool's own: a label can be on any, and a name can be somebody else's."""
    namespace, name = split_full_name(key)
    found, pool = cache.deployments.get(full_name(namespace, runtime_name(name))), cache.pools.get(key)
    is_own = found is not None and found.owner is not None and (pool is None or found.owner == pool.metadata.uid)
    return found if is_own else None
