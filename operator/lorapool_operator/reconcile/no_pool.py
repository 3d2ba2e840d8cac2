"""Passes over the adapters that belong to no pool: their cards are read, and the pool of their base model is found."""

from collections.abc import Callable, Mapping

from lorapool_api.kinds.adapter import NO_POOL
from lorapool_operator.decide.no_pool import NoPoolPlan, SeenWithoutPool, decide_without_pool
from lorapool_operator.reconcile.context import Context
from lorapool_operator.reconcile.lines import log_statuses
from lorapool_operator.reconcile.reconciler import PassResult, forget_sources, resolve_sources
from lorapool_operator.reconcile.slices import each
from lorapool_operator.reconcile.writer import Writer
from lorapool_operator.seen.desired import DesiredPool


class NoPoolReconciler:
    """What is remembered from pass to pass, and the pass itself."""

    def __init__(self, key: str, context: Context, wake: Callable[[], None]) -> None:
        self._ctx = context
        self._writer = Writer(key, context)
        self._uids: Mapping[str, str] = {}

    def close(self) -> None:
        """Statuses stay as they are."""
        self._ctx.metrics.forget(NO_POOL)

    def refresh(self) -> None:
        """Nothing is made here that could be made anew."""

    async def run(self, has_news: Callable[[], bool] = lambda: False) -> PassResult:
        """One pass. It waits for the API server alone."""
        seen = self._observe()
        plan = decide_without_pool(seen)
        self._resolve(seen, plan)
        written = await each(self._writer.write_status, plan.writes)
        log_statuses(NO_POOL, (w for w, done in zip(plan.writes, written, strict=True) if done.is_done))
        written += await each(self._writer.remove_finalizer, plan.remove)
        self._ctx.metrics.set_adapters(NO_POOL, plan.by_reason)
        self._writer.keep_only(self._uids.values())
        waits = [w.again_s for w in written if w.again_s is not None]
        return PassResult(sum(not w.is_done for w in written), min(waits, default=None))

    def _observe(self) -> SeenWithoutPool:
        cache = self._ctx.cache
        adapters = cache.adapters.of_pool(NO_POOL)
        return SeenWithoutPool(
            adapters=adapters,
            outcomes={a.key: self._ctx.resolver.known(a) for a in adapters},
            pools=tuple(map(DesiredPool.of, cache.living_pools())) if adapters else (),
            namespace_labels=cache.namespace_labels(),
            now=self._ctx.now(),
        )

    def _resolve(self, seen: SeenWithoutPool, plan: NoPoolPlan) -> None:
        resolve_sources(self._ctx, plan.resolve, seen.adapters)
        uids = {a.metadata.uid: a.key for a in seen.adapters}
        forget_sources(self._ctx, {uid: key for uid, key in self._uids.items() if uid not in uids})
        self._uids = uids
