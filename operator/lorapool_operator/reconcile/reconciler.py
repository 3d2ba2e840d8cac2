"""A pass over one pool: observe -> decide -> act -> report. Every trigger runs the same pass."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import structlog

from lorapool_api.kinds.adapter import Adapter, AdapterStatus
from lorapool_api.kinds.base_model import BaseModelSpec
from lorapool_api.kinds.pool import Pool, PoolStatus
from lorapool_api.names import ADAPTER_FINALIZER, full_name, runtime_name, split_full_name
from lorapool_api.wire.catalog import Catalog
from lorapool_api.wire.state import BaseReport
from lorapool_common.kube.errors import ApiError
from lorapool_common.kube.merge_patch import merge_patch
from lorapool_common.kube.resources import ADAPTERS, DEPLOYMENTS, POOLS
from lorapool_operator.cluster.objects import Objects
from lorapool_operator.decide.adapter_status import AdapterStatuses
from lorapool_operator.decide.checker import AdapterChecker, CheckResult, entries
from lorapool_operator.decide.events import EventDraft, adapter_events, pool_events
from lorapool_operator.decide.model_status import known_commits
from lorapool_operator.decide.plan import UNREGISTER_GRACE_S, has_finalizer, must_give_way, plan_finalizers
from lorapool_operator.decide.pool_status import pods_by_state, pool_status
from lorapool_operator.decide.refused_objects import refused_object
from lorapool_operator.manifests.deployment import Installation, deployment
from lorapool_operator.manifests.disruption import disruption_budget
from lorapool_operator.manifests.pinned import pinned
from lorapool_operator.manifests.secret import control_secret, control_token
from lorapool_operator.manifests.service import service
from lorapool_operator.pods.links import PodLinks
from lorapool_operator.reconcile.context import Context
from lorapool_operator.reconcile.failed_writes import FailedWrites, Write
from lorapool_operator.seen.observed import DeploymentView, Observed, PodView, deployment_view, owned_pods
from lorapool_operator.seen.parse import read_adapter, read_pool
from lorapool_operator.seen.resolution import NOTHING_TO_RESOLVE
from lorapool_operator.seen.verdict import Verdict

log = structlog.get_logger(__name__)

T = TypeVar("T")
CheckResults = Mapping[str, CheckResult]
_NO_CATALOG: Final = Catalog.of(())
_OBJECTS: Final = "objects"
_REPLICAS: Final = "replicas"
_POOL_STATUS: Final = "pool status"


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

    def __init__(self, key: str, context: Context, wake: Callable[[], None]) -> None:
        self.key = key
        self._ctx = context
        self.pods = PodLinks(context.control, context.pushes, wake)
        self._objects = Objects(context.kube, context.metrics)
        self._failed_writes = FailedWrites(context.clock)
        self._checker = AdapterChecker()
        self._statuses = AdapterStatuses()
        self._catalog = _NO_CATALOG
        self._last_base: tuple[BaseModelSpec, BaseReport] | None = None
        self._refusal: Verdict | None = None
        self._base_resolution = NOTHING_TO_RESOLVE
        self._pool_uid = ""
        self._terminating_since: dict[str, float] = {}
        self._uids: dict[str, str] = {}
        self._same: dict[str, tuple[Adapter, AdapterStatus]] = {}
        self._failures = 0
        self._again_s: float | None = None

    def close(self) -> None:
        """Hang up on the pods. Objects and statuses stay as they are."""
        self.pods.close()
        self._ctx.bases.forget(self._pool_uid)
        self._ctx.metrics.forget(self.key)

    def refresh(self) -> None:
        """Let the next pass assume nothing about the pool's objects."""
        self._objects.refresh()

    async def run(self) -> PassResult:
        """One pass. What fails for one object does not hold up the others."""
        self._failures, self._again_s = 0, None
        pool = self._pool()
        self._resolve_base(pool)
        await self._apply_objects(pool)
        self.pods.follow(self._runtime_pods(), self._token(pool))
        seen, results = self._decide()
        catalog = await self._register(seen, results)
        await self.pods.distribute(catalog, len(seen.adapters))
        seen, results = self._decide()
        await self._unregister(seen, results, catalog)
        await self._report(seen, results)
        self._forget_gone(seen)
        return PassResult(self._failures, self._again_s)

    # ---- observe and decide

    def _pool(self) -> Pool | None:
        """The pool; one that is being deleted is as good as gone: what we made for it would only come back.

        So is one whose namespace is being deleted: nothing can be created there any more.
        """
        pool = self._ctx.cache.pools.get(self.key)
        return None if pool is None or pool.metadata.is_terminating or self._is_namespace_terminating() else pool

    def _is_namespace_terminating(self) -> bool:
        namespace, _ = split_full_name(self.key)
        return namespace in self._ctx.cache.terminating_namespaces

    def _token(self, pool: Pool | None) -> str | None:
        return control_token(self._ctx.key, pool) if pool else None

    def _decide(self) -> tuple[Observed, CheckResults]:
        seen = self._observe()
        claims = self._checker.names(seen)
        outcomes = {a.key: self._ctx.resolver.outcome(a) for a in self._checker.to_resolve(seen, claims)}
        seen = replace(seen, outcomes=outcomes)
        return seen, self._checker.all(seen, claims)

    def _base(self) -> BaseReport | None:
        """The modules of the base. While no pod is warm: what the last one reported, if it held the same model."""
        pool, report = self._pool(), self.pods.base()
        if pool is None:
            return None
        if report is not None:
            self._last_base = (pool.spec.model, report)
        return self._last_base[1] if self._last_base and self._last_base[0] == pool.spec.model else None

    def _observe(self) -> Observed:
        cache, reports = self._ctx.cache, self.pods.reports()
        return Observed(
            key=self.key,
            pool=self._pool(),
            adapters=cache.adapters.of_pool(self.key),
            pods=self._runtime_pods(),
            deployment=self._deployment(),
            outcomes={},
            reports=reports,
            base=self._base(),
            namespace_labels=cache.namespace_labels(),
            url_hosts=self._ctx.settings.url_hosts,
            now=self._ctx.now(),
            refusal=self._refusal,
            base_resolution=self._base_resolution,
        )

    def _deployment(self) -> DeploymentView | None:
        """By its name: a label can be on any."""
        namespace, name = split_full_name(self.key)
        return self._ctx.cache.deployments.get(full_name(namespace, runtime_name(name)))

    def _runtime_pods(self) -> tuple[PodView, ...]:
        cache = self._ctx.cache
        return owned_pods(cache.pods.of_pool(self.key), cache.replica_sets.of_pool(self.key), self._deployment())

    def _resolve_base(self, pool: Pool | None) -> None:
        uid = pool.metadata.uid if pool else ""
        if self._pool_uid and self._pool_uid != uid:
            self._ctx.bases.forget(self._pool_uid)
        self._pool_uid = uid
        self._base_resolution = self._ctx.bases.resolve(pool) if pool else NOTHING_TO_RESOLVE

    # ---- act

    async def _apply_objects(self, pool: Pool | None) -> None:
        if pool is None:
            self._objects.refresh()
            self._refusal = None
            if self._is_namespace_terminating():
                await self._scale_down()
            return
        settings, seen = self._ctx.settings, self._observe()
        installation = Installation(
            image=settings.image_for(pool.spec.runtime.engine),
            hf_endpoint=settings.hf_endpoint,
            url_hosts=settings.url_hosts,
        )
        manifests = [control_secret(pool, control_token(self._ctx.key, pool)), service(pool), disruption_budget(pool)]
        if (
            not self._base_resolution.is_pending
        ):  # pods that start with a branch would be replaced as soon as it is known
            at_commits = pinned(pool, known_commits(pool, self._base_resolution))
            manifests.append(deployment(at_commits, installation, give_way=must_give_way(seen)))
        meta = pool.metadata
        write = Write(_OBJECTS, meta.uid, meta.generation, meta.resource_version, {"manifests": manifests})

        async def apply() -> bool:
            await self._objects.apply(manifests, seen.deployment)
            return True

        if await self._try(write, "the pool's objects could not be applied", apply):
            self._refusal = None

    async def _scale_down(self) -> None:
        """Have the pods of a pool end whose namespace is being deleted; its objects are deleted by others.

        The namespace controller looks for pods after 5 and 10 s, and after half of their grace once it found them both
        times: idle ones that are told now are gone by then. Scaled down and not deleted: that needs no permission which
        the operator lacks otherwise. A patch cannot make anew what went.
        """
        deployment = self._deployment()
        if deployment is None or deployment.replicas == 0:
            return
        patch = {"spec": {"replicas": 0}}
        write = Write(_REPLICAS, deployment.uid, deployment.generation, deployment.resource_version, patch)

        async def scale() -> None:
            try:
                done = await self._ctx.kube.patch(DEPLOYMENTS, deployment.namespace, deployment.name, patch)
            except ApiError as error:
                if not error.is_gone:
                    raise
            else:
                self._ctx.metrics.writes.labels("scale").inc()
                key = full_name(deployment.namespace, deployment.name)
                self._ctx.cache.deployments.refresh(key, deployment_view(done))

        await self._try(write, "a pool whose namespace is being deleted could not be scaled down", scale)

    async def _register(self, seen: Observed, results: CheckResults) -> Catalog:
        """The catalog of the adapters that bear our finalizer; those that lack it get it first."""
        plan = plan_finalizers(seen, results, _NO_CATALOG, {})
        marked = {a.key for a in seen.adapters if has_finalizer(a)}
        added = await _each(self._add_finalizer, plan.add)
        ready = marked | {a.key for a, done in zip(plan.add, added, strict=True) if done}
        wanted = tuple(sorted((e for e in entries(results) if e.key in ready), key=lambda e: e.key))
        if wanted != self._catalog.entries:
            self._catalog = Catalog.of(wanted)
        return self._catalog

    async def _add_finalizer(self, adapter: Adapter) -> bool:
        return await self._set_finalizers(adapter, [*adapter.metadata.finalizers, ADAPTER_FINALIZER])

    async def _remove_finalizer(self, adapter: Adapter) -> bool:
        return await self._set_finalizers(adapter, [f for f in adapter.metadata.finalizers if f != ADAPTER_FINALIZER])

    async def _set_finalizers(self, adapter: Adapter, finalizers: list[str]) -> bool:
        """Only if nobody changed the object meanwhile: the list is replaced as a whole."""
        patch = {"metadata": {"finalizers": finalizers, "resourceVersion": adapter.metadata.resource_version}}
        return await self._patch_adapter(adapter, patch, {"finalizers": finalizers})

    async def _unregister(self, seen: Observed, results: CheckResults, catalog: Catalog) -> None:
        """Let go of adapters that are being deleted, once no pod has them, or when pods take too long."""
        now = self._ctx.clock()
        terminating = {a.key for a in seen.adapters if a.metadata.is_terminating and has_finalizer(a)}
        self._terminating_since = {key: self._terminating_since.get(key, now) for key in terminating}
        plan = plan_finalizers(seen, results, catalog, {k: now - since for k, since in self._terminating_since.items()})
        await _each(self._remove_finalizer, plan.remove)
        if plan.waiting:
            waited_s = max(now - self._terminating_since[a.key] for a in plan.waiting)
            self._again(UNREGISTER_GRACE_S - waited_s)

    # ---- report

    async def _report(self, seen: Observed, results: CheckResults) -> None:
        statuses = self._statuses.all(results, seen)
        changed = [(results[key].adapter, s) for key, s in statuses.items() if self._differs(results[key], s)]
        await _each(self._write_adapter_status, changed)
        if seen.pool is not None:
            await self._write_pool_status(seen.pool, pool_status(seen.pool, seen, statuses))
        self._ctx.metrics.set_adapters(self.key, Counter(s.summary or "" for s in statuses.values()))
        self._ctx.metrics.set_pods(self.key, pods_by_state(seen))

    def _differs(self, result: CheckResult, status: AdapterStatus) -> bool:
        """Whether the object has another status. To compare thousands takes long: once for each pair of objects."""
        adapter = result.adapter
        same = self._same.get(adapter.key)
        if same is not None and same[0] is adapter and same[1] is status:
            return False
        differs = status != adapter.status
        if not differs:
            self._same[adapter.key] = (adapter, status)
        return differs

    async def _write_adapter_status(self, change: tuple[Adapter, AdapterStatus]) -> None:
        adapter, status = change
        patch = {"status": merge_patch(adapter.status.manifest(), status.manifest())}
        if await self._patch_adapter(adapter, patch, status.manifest(), "status"):
            self._record(adapter_events(adapter, status))

    async def _patch_adapter(
        self, adapter: Adapter, patch: dict[str, Any], content: dict[str, Any], subresource: str | None = None
    ) -> bool:
        """Whether the API server took it. `content` is what the object would have then, `patch` is the way there."""
        meta = adapter.metadata
        what = _name_of_write(adapter.key, subresource)
        write = Write(what, meta.uid, meta.generation, meta.resource_version, content)
        written = await self._try(
            write,
            "an adapter could not be written",
            lambda: self._ctx.kube.patch(ADAPTERS, meta.namespace, meta.name, patch, subresource),
            adapter=adapter.key,
        )
        if written is None:
            return False
        self._ctx.metrics.writes.labels(subresource or "finalizer").inc()
        self._ctx.cache.adapters.refresh(adapter.key, read_adapter(written))
        return True

    async def _write_pool_status(self, pool: Pool, status: PoolStatus) -> None:
        patch = merge_patch(pool.status.manifest(), status.manifest())
        if not patch:
            return
        namespace, name = split_full_name(pool.key)
        meta = pool.metadata
        written = await self._try(
            Write(_POOL_STATUS, meta.uid, meta.generation, meta.resource_version, status.manifest()),
            "the pool's status could not be written",
            lambda: self._ctx.kube.patch(POOLS, namespace, name, {"status": patch}, "status"),
        )
        if written is None:
            return
        self._ctx.metrics.writes.labels("status").inc()
        self._ctx.cache.pools.refresh(pool.key, read_pool(written))
        self._record(pool_events(pool, status))

    def _record(self, drafts: Iterable[EventDraft]) -> None:
        for draft in drafts:
            self._ctx.recorder.record(draft)

    # ---- failures

    async def _try(self, write: Write, event: str, act: Callable[[], Awaitable[T]], **fields: str) -> T | None:
        """What `act` returns; None where the write failed, or is left alone for now because it did before."""
        if self._failed_writes.is_refused(write):
            self._failures += 1
            return None
        if wait_s := self._failed_writes.wait_s(write):
            self._failures += 1
            self._again(wait_s)
            return None
        try:
            done = await act()
        except ApiError as error:
            self._failures += 1
            self._again(self._failed_writes.failed(write, error))
            if write.what == _OBJECTS:
                self._refusal = refused_object(error) or self._refusal
            tell = log.info if error.is_namespace_terminating else log.warning
            tell(event, pool=self.key, status=error.status, error=error.message, **fields)
            return None
        self._failed_writes.succeeded(write)
        return done

    def _again(self, wait_s: float | None) -> None:
        """Have another pass after that time, if none comes before."""
        if wait_s is not None:
            self._again_s = wait_s if self._again_s is None else min(wait_s, self._again_s)

    def _forget_gone(self, seen: Observed) -> None:
        """Drop what is remembered about adapters that no longer exist; one that joined another pool still does."""
        now = {a.metadata.uid: a.key for a in seen.adapters}
        for uid, key in self._uids.items():
            if uid not in now:
                self._same.pop(key, None)
                elsewhere = self._ctx.cache.adapters.get(key)
                if elsewhere is None or elsewhere.metadata.uid != uid:
                    self._ctx.resolver.forget(uid)
        self._uids = now
        if self._failed_writes.has_failures:
            keys = [a.key for a in seen.adapters]
            wanted = {_name_of_write(key, subresource) for key in keys for subresource in (None, "status")}
            self._failed_writes.keep_only({_OBJECTS, _REPLICAS, _POOL_STATUS, *wanted})


def _name_of_write(adapter: str, subresource: str | None) -> str:
    return f"{subresource or 'finalizer'} of {adapter}"


async def _each(act: Callable[[Any], Awaitable[Any]], items: Iterable[Any]) -> list[Any]:
    """All at once; the connection bounds how many really are."""
    return list(await asyncio.gather(*(act(item) for item in items)))
