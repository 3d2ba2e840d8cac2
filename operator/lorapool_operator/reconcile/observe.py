"""What a pass sees, taken from the cache and from what pods and sources said so far. Starts nothing and waits for
nothing."""

from collections.abc import Sequence

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.names import full_name, runtime_name, split_full_name
from lorapool_operator.cluster.cache import ObjectCache
from lorapool_operator.pods.links import PodLinks
from lorapool_operator.reconcile.context import Context
from lorapool_operator.seen.handover import ServedElsewhere
from lorapool_operator.seen.observed import Observed
from lorapool_operator.seen.resolution import NOTHING_TO_RESOLVE
from lorapool_operator.seen.verdict import Verdict
from lorapool_operator.seen.views import DeploymentView, newest_replica_set, owned_pods


def observe(key: str, context: Context, pods: PodLinks, refusal: Verdict | None) -> Observed:
    """A snapshot: what changes later does not change it."""
    cache, (namespace, _) = context.cache, split_full_name(key)
    pool = cache.living_pool(key)
    deployment = _deployment(cache, key)
    replica_sets = cache.replica_sets.of_pool(key)
    adapters = cache.adapters.of_pool(key)
    return Observed(
        key=key,
        pool=pool,
        adapters=adapters,
        pods=owned_pods(cache.pods.of_pool(key), replica_sets, deployment),
        deployment=deployment,
        outcomes={a.key: context.resolver.known(a) for a in adapters if not a.metadata.is_terminating},
        reports=pods.reports(),
        bases=pods.bases,
        namespace_labels=cache.namespace_labels(),
        url_hosts=context.settings.url_hosts,
        now=context.now(),
        clock_s=context.clock(),
        refusal=refusal,
        base_resolution=context.bases.known(pool) if pool else NOTHING_TO_RESOLVE,
        elsewhere=_elsewhere(adapters, key, context),
        is_namespace_terminating=namespace in cache.terminating_namespaces,
        standing=cache.standing(key),
        newest=newest_replica_set(replica_sets, deployment),
    )


def _deployment(cache: ObjectCache, key: str) -> DeploymentView | None:
    """The pool's own: a label can be on any, and a name can be somebody else's."""
    namespace, name = split_full_name(key)
    found, pool = cache.deployments.get(full_name(namespace, runtime_name(name))), cache.pools.get(key)
    is_own = found is not None and found.owner is not None and (pool is None or found.owner == pool.metadata.uid)
    return found if is_own else None


def _elsewhere(adapters: Sequence[Adapter], pool: str, context: Context) -> dict[str, ServedElsewhere]:
    """How adapters of the pool fare in those that they leave, by their keys."""
    # Nearly all are served by this one: they cost no call, in every pass.
    others = (a for a in adapters if (a.status.pool_name or pool) != pool and a.pool_key == pool)
    said = ((a.key, context.handovers.served_elsewhere(a)) for a in others)
    return {key: served for key, served in said if served is not None}
