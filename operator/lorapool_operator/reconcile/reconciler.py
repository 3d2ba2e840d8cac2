"""A pass over one pool: observe -> decide -> act -> report. Every trigger runs the same pass."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import structlog

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.pool import Pool
from lorapool_api.names import adapter_of
from lorapool_api.wire.catalog import Catalog, CatalogEntry
from lorapool_api.wire.credentials import CredentialsGrant
from lorapool_operator.decide.adapters.decisions import AdapterDecisions
from lorapool_operator.decide.memo import Memo
from lorapool_operator.decide.placements import PlacementDecisions
from lorapool_operator.decide.plan import PassMemory, PassPlan, Report, decide
from lorapool_operator.manifests.deployment import Installation
from lorapool_operator.manifests.objects import WantedObjects, manifests
from lorapool_operator.pods.links import PodLinks
from lorapool_operator.pods.pool_token import pool_token
from lorapool_operator.reconcile.context import Context
from lorapool_operator.reconcile.grants import grants
from lorapool_operator.reconcile.lines import log_adapters, log_statuses
from lorapool_operator.reconcile.observe import Observer
from lorapool_operator.reconcile.slices import Slices, each
from lorapool_operator.reconcile.writer import Writer, Written
from lorapool_operator.seen.changed import changed_keys
from lorapool_operator.seen.observed import Observed

log = structlog.get_logger(__name__)

# Adapters that are decided about in one turn of the event loop: less than a second where all are new.
MOST_AT_ONCE: Final = 1000


@dataclass(frozen=True)
class PassResult:
    """What became of a pass.

    Attributes:
        failures: writes that failed, or still wait since they did.
        again_s: when another pass is wanted although nothing happens; None: it is not.
    """

    failures: int = 0
    again_s: float | None = None


class Reconciler:
    """What is remembered from pass to pass about one pool, and the pass itself."""

    def __init__(self, key: str, context: Context, wake: Callable[[], None], most_at_once: int = MOST_AT_ONCE) -> None:
        """`most_at_once`: adapters that are decided about in one turn of the event loop."""
        self.key = key
        self._ctx = context
        self._most_at_once = most_at_once
        self._wake = wake
        self.pods = PodLinks(context.control, context.pushes, wake, self._grants)
        self._observer = Observer(key, context)
        self._writer = Writer(key, context)
        self._slices = Slices(context.clock)
        self._adapters = AdapterDecisions()
        self._placements = PlacementDecisions()
        self._catalog: Memo[tuple[CatalogEntry, ...], Catalog] = Memo(Catalog.of)
        self._memory = PassMemory()
        self._resolved: Mapping[str, Adapter] = {}

    def close(self) -> None:
        """Hang up on the pods. Objects and statuses stay as they are."""
        self.pods.close()
        self._ctx.handovers.tell(self.key, {})
        self._ctx.bases.forget(self._memory.pool_uid)
        self._ctx.metrics.forget(self.key)

    def refresh(self) -> None:
        """Let the next pass assume nothing about the pool's objects."""
        self._writer.refresh()

    async def run(self, has_news: Callable[[], bool] = lambda: False) -> PassResult:
        """One pass. It waits for the API server alone.

        Args:
            has_news: whether something happened since it began: then writes that take long are left to the next pass.
        """
        stage = self._ctx.metrics.pass_stage
        with stage("observe"):
            seen = self._observer.look(self.pods, self._writer.refusal)
        with stage("decide"):
            plan = await self._decide(seen)
        self._resolve(plan, seen)
        self._memory = plan.memory
        self._slices.begin(has_news, len(seen.adapters))
        self._ctx.metrics.set_behind(self.key, plan.memory.behind_since_s)
        with stage("apply"):
            written: list[Written] = list(await each(self._writer.set_deletion_cost, plan.deletion_costs))
            written += await self._apply(plan, seen)
        with stage("register"):
            written += await self._register(plan, seen)
            removed = await each(self._writer.remove_finalizer, plan.finalizers.remove)
            log_adapters("adapters let go", self.key, _done(plan.finalizers.remove, removed))
            written += removed
        with stage("report"):
            written += await self._report(plan.report) if plan.report else []
        if plan.leaving is not None:
            self._ctx.handovers.tell(self.key, plan.leaving)
        self._writer.keep_only(plan.memory.adapters)
        waits = (plan.again_s, 0.0 if self._slices.has_left else None, *(w.again_s for w in written))
        return PassResult(sum(not w.is_done for w in written), min((w for w in waits if w is not None), default=None))

    async def _decide(self, seen: Observed) -> PassPlan:
        """In a thread where it takes long: the Lease, the watches and the talk with pods go on. Nothing else touches
        what is decided by, and a pass that is cancelled meanwhile leaves a plan that nobody carries out."""
        asked = (seen, self._memory, self._adapters, self._placements)
        if len(seen.adapters) <= self._most_at_once:
            return decide(*asked)
        return await asyncio.to_thread(decide, *asked)

    def _resolve(self, plan: PassPlan, seen: Observed) -> None:
        """Have the sources resolved of which something is new, and forget what is gone."""
        changed = changed_keys(self._resolved, plan.resolve) | changed_keys(self._memory.adapters, seen.by_key)
        resolve = {key: adapter for key in changed if (adapter := plan.resolve.get(key)) is not None}
        resolve_sources(self._ctx, resolve.values(), (seen.by_key[key] for key in changed if key in seen.by_key))
        self._resolved = plan.resolve
        self._observer.ask_again(resolve)
        forget_sources(self._ctx, plan.gone)
        if plan.gone_pool is not None:
            self._ctx.bases.forget(plan.gone_pool)
        if seen.pool is not None:
            self._ctx.bases.resolve(seen.pool)

    async def _apply(self, plan: PassPlan, seen: Observed) -> list[Written]:
        if plan.objects is None:
            self._writer.forget_objects()
            self.pods.follow((), None)
            return [await self._writer.scale_down(plan.scale_down)] if plan.scale_down else []
        token = pool_token(self._ctx.keys.operators[0], plan.objects.pool)
        if plan.is_paused:
            self.pods.follow(seen.pods, token)
            return []
        peers = self._ctx.settings.network_peers
        wanted = manifests(plan.objects, self._installation(plan.objects), peers)
        written = await self._writer.apply(plan.objects.pool, wanted, seen.standing)
        if self._writer.refusal != seen.refusal:
            self._wake()  # the pool's status shall say it
        self.pods.follow(seen.pods, token)
        return [written]

    def _installation(self, objects: WantedObjects) -> Installation:
        settings = self._ctx.settings
        image = settings.image_for(objects.pool.spec.runtime.engine)
        return Installation(
            image,
            settings.hf_endpoint,
            settings.civitai_endpoint,
            settings.url_hosts,
            settings.runtime_priority_class,
            settings.runtime_pull_secrets,
            settings.traces_env,
            self._ctx.keys.trusted,
        )

    async def _register(self, plan: PassPlan, seen: Observed) -> list[Written]:
        """Tell pods of the adapters that bear our finalizer; those that lack it get it first."""
        add, add_one = plan.finalizers.add, self._writer.add_finalizer
        added = await self._slices.write("finalizers", add_one, add, lambda adapter: adapter.key)
        log_adapters("adapters taken on", self.key, marked_now := [a.key for a, done in added if done.is_done])
        unmarked = {adapter.key for adapter in add}.difference(marked_now)
        marked = plan.entries
        if unmarked:
            marked = tuple(e for e in marked if adapter_of(e.key) not in unmarked)
        catalog = self._catalog(marked)
        if catalog.digest != self._memory.catalog.digest and seen.running_pods:
            log.info("catalog for pods", pool=self.key, entries=len(marked), pods=len(seen.running_pods))
        behind_since_s = self._memory.behind_since_s
        if behind_since_s == seen.clock_s:
            behind_since_s = self._ctx.clock()  # pods are told now: finalizers of thousands took half a minute
        self._memory = replace(self._memory, catalog=catalog, behind_since_s=behind_since_s)
        scaling = None if seen.pool is None else seen.pool.spec.scaling
        sleep_after_s = None if scaling is None else scaling.sleep_after_s
        self.pods.distribute(catalog, max(len(seen.adapters), len(marked)), plan.assignments, sleep_after_s)
        return [done for _, done in added]

    async def _grants(self, keys: frozenset[str]) -> Mapping[str, CredentialsGrant]:
        return await grants(self._ctx.secrets, self._memory.catalog, keys)

    async def _report(self, report: Report) -> list[Written]:
        self._ctx.metrics.set_adapters(self.key, report.adapters_by_reason)
        self._ctx.metrics.set_pods(self.key, report.pods_by_state)
        self._ctx.metrics.gpus.set(self.key, report.gpus.pooled, report.gpus.dedicated)
        of_pool = [write for write in report.writes if isinstance(write.about, Pool)]
        of_adapters = [write for write in report.writes if not isinstance(write.about, Pool)]
        write_one = self._writer.write_status
        written, pools = await asyncio.gather(
            self._slices.write("statuses", write_one, of_adapters, lambda write: write.about.key),
            each(write_one, of_pool),
        )
        written += zip(of_pool, pools, strict=True)
        log_statuses(self.key, (write for write, done in written if done.is_done))
        return [done for _, done in written]


def _done(adapters: Iterable[Adapter], written: Iterable[Written]) -> list[str]:
    """Keys of those that were written."""
    return [adapter.key for adapter, done in zip(adapters, written, strict=True) if done.is_done]


def resolve_sources(context: Context, resolve: Iterable[Adapter], adapters: Iterable[Adapter]) -> None:
    """Have them resolved. What is not to be, because it is suspended or refused, is not followed either."""
    uids = set()
    for adapter in resolve:
        uids.add(adapter.metadata.uid)
        context.resolver.resolve(adapter)
    for adapter in adapters:
        if adapter.spec.follow and adapter.metadata.uid not in uids:
            context.resolver.pause(adapter.metadata.uid)


def forget_sources(context: Context, gone: Mapping[str, str]) -> None:
    """Forget the sources of adapters that the pool has no more, by uid with their keys; what joined another is not."""
    for uid, key in gone.items():
        elsewhere = context.cache.adapters.get(key)
        if elsewhere is None or elsewhere.metadata.uid != uid:
            context.resolver.forget(uid)
