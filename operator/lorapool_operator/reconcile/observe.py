"""What a pass sees, taken from the cache and from what pods and sources said so far. Starts nothing and waits for
nothing."""

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.names import full_name, runtime_name, split_full_name
from lorapool_operator.pods.links import PodLinks
from lorapool_operator.reconcile.context import Context
from lorapool_operator.seen.handover import ServedElsewhere
from lorapool_operator.seen.observed import Observed
from lorapool_operator.seen.resolution import NOTHING_TO_RESOLVE
from lorapool_operator.seen.verdict import Verdict
from lorapool_operator.seen.views import owned_pods


def observe(key: str, context: Context, pods: PodLinks, refusal: Verdict | None) -> Observed:
    """A snapshot: what changes later does not change it."""
    cache, (namespace, name) = context.cache, split_full_name(key)
    pool = cache.living_pool(key)
    deployment = cache.deployments.get(full_name(namespace, runtime_name(name)))  # a label can be on any
    adapters = cache.adapters.of_pool(key)
    return Observed(
        key=key,
        pool=pool,
        adapters=adapters,
        pods=owned_pods(cache.pods.of_pool(key), cache.replica_sets.of_pool(key), deployment),
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
        elsewhere={a.key: e for a in adapters if (e := _elsewhere(a, key, context)) is not None},
        is_namespace_terminating=namespace in cache.terminating_namespaces,
    )


def _elsewhere(adapter: Adapter, pool: str, context: Context) -> ServedElsewhere | None:
    """How an adapter of the pool fares in the one that it leaves."""
    return context.handovers.served_elsewhere(adapter) if adapter.pool_key == pool else None
