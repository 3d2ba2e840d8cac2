"""The writes of a pass to the API server. What fails for one object does not hold up the others."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from lorapool_api.kinds.adapter import Adapter, AdapterStatus
from lorapool_api.kinds.pool import Pool
from lorapool_api.names import ADAPTER_FINALIZER, DELETION_COST_ANNOTATION
from lorapool_common.kube.errors import ApiError
from lorapool_common.kube.resources import ADAPTERS, DEPLOYMENTS, PODS, POOLS, Resource
from lorapool_operator.cluster.objects import Objects
from lorapool_operator.cluster.own_writes import with_finalizers, with_status
from lorapool_operator.decide.plan import StatusWrite
from lorapool_operator.decide.pools.refused_objects import refused_object
from lorapool_operator.decide.scaling.removals import DeletionCost
from lorapool_operator.manifests.common import Manifest
from lorapool_operator.reconcile.context import Context
from lorapool_operator.reconcile.failed_writes import FailedWrites, Write
from lorapool_operator.seen.verdict import Verdict
from lorapool_operator.seen.views import DeploymentView, Standing

log = structlog.get_logger(__name__)

_OBJECTS: Final = "objects"
_REPLICAS: Final = "replicas"


@dataclass(frozen=True)
class Written:
    """What became of a write. Nothing of what the API server returned: a pass may write ten thousand objects.

    Attributes:
        is_done: False: it failed, or is left alone for now because it did before.
        error: why it failed now.
        again_s: when it is worth another try; None: it is not, or not until something changes.
    """

    is_done: bool = False
    error: ApiError | None = None
    again_s: float | None = None


class Writer:
    """Writes the objects and statuses of one pool and of its adapters, and remembers which of that fails."""

    def __init__(self, key: str, context: Context) -> None:
        self._key = key
        self._ctx = context
        self._objects = Objects(context.kube, context.metrics, context.cache.put_written)
        self._failed = FailedWrites(context.clock)
        self.refusal: Verdict | None = None

    def refresh(self) -> None:
        """Have the pool's objects applied anew."""
        self._objects.refresh()

    def forget_objects(self) -> None:
        """The pool is gone, and its objects with it."""
        self._objects.forget()
        self.refusal = None

    def keep_only(self, adapters: Iterable[str]) -> None:
        """Forget the failures of adapters that the pool has no more."""
        if self._failed.has_failures:
            wanted = {_name(ADAPTERS, key, subresource) for key in adapters for subresource in (None, "status")}
            self._failed.keep_only({_OBJECTS, _REPLICAS, _name(POOLS, self._key, "status"), *wanted})

    async def apply(self, pool: Pool, manifests: Sequence[Manifest], standing: Mapping[str, Standing]) -> Written:
        """Apply the pool's objects; `refusal` says afterwards whether the API server takes them."""
        meta = pool.metadata
        write = Write(_OBJECTS, meta.uid, meta.generation, meta.resource_version, {"manifests": manifests})

        async def apply() -> None:
            await self._objects.apply(manifests, meta.uid, standing)

        written = await self._try(write, "the pool's objects could not be applied", apply)
        if written.is_done:
            self.refusal = None
        elif written.error is not None:
            self.refusal = refused_object(written.error) or self.refusal
        return written

    async def scale_down(self, deployment: DeploymentView) -> Written:
        """Have the pods of a pool end whose namespace is being deleted; its objects are deleted by others.

        Scaled down and not deleted: that needs no permission which the operator lacks otherwise. A patch cannot make
        anew what went.
        """
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
                log.info("pods of a pool end with their namespace", pool=self._key)
                self._ctx.cache.wake(self._ctx.cache.deployments.refresh(done))

        return await self._try(write, "a pool whose namespace is being deleted could not be scaled down", scale)

    async def set_deletion_cost(self, wanted: DeletionCost) -> Written:
        """Say which pods go first. Where that is not allowed, the ReplicaSet controller picks by itself."""
        pod, patch = wanted.pod, {"metadata": {"annotations": {DELETION_COST_ANNOTATION: wanted.cost}}}
        write = Write(f"deletion cost of Pod {pod.key}", pod.uid, 0, pod.resource_version, patch)

        async def mark() -> None:
            try:
                done = await self._ctx.kube.patch(PODS, pod.namespace, pod.name, patch)
            except ApiError as error:
                if not error.is_gone:
                    raise
            else:
                self._ctx.metrics.writes.labels("deletion_cost").inc()
                log.info("how soon a pod goes is said", pool=self._key, pod=pod.name, cost=wanted.cost)
                self._ctx.cache.wake(self._ctx.cache.pods.refresh(done))

        return await self._try(write, "a pod could not be marked as the first to go", mark, pod=pod.name)

    async def add_finalizer(self, adapter: Adapter) -> Written:
        return await self._set_finalizers(adapter, [*adapter.metadata.finalizers, ADAPTER_FINALIZER])

    async def remove_finalizer(self, adapter: Adapter) -> Written:
        return await self._set_finalizers(adapter, [f for f in adapter.metadata.finalizers if f != ADAPTER_FINALIZER])

    async def _set_finalizers(self, adapter: Adapter, finalizers: list[str]) -> Written:
        """Only if nobody changed the object meanwhile: the list is replaced as a whole."""
        patch = {"metadata": {"finalizers": finalizers, "resourceVersion": adapter.metadata.resource_version}}

        def taken(reply: Manifest) -> set[str]:
            return self._ctx.cache.put_own(reply, with_finalizers(adapter, tuple(finalizers), reply))

        return await self._patch(adapter, patch, {"finalizers": finalizers}, taken)

    async def write_status(self, wanted: StatusWrite) -> Written:
        content = wanted.content
        patch = wanted.patch(content)
        if not patch:
            return Written(is_done=True)
        about, status = wanted.about, wanted.status

        def taken(reply: Manifest) -> set[str]:
            if not isinstance(about, Adapter) or not isinstance(status, AdapterStatus):
                return self._ctx.cache.pools.refresh(reply)
            return self._ctx.cache.put_own(reply, with_status(about, status, content, reply))

        written = await self._patch(about, {"status": patch}, content, taken, "status")
        for draft in wanted.events if written.is_done else ():
            self._ctx.recorder.record(draft)
        return written

    async def _patch(
        self,
        about: Adapter | Pool,
        patch: Manifest,
        content: Manifest,
        taken: Callable[[Manifest], set[str]],
        subresource: str | None = None,
    ) -> Written:
        """`content` is what the object would have then, `patch` is the way there; `taken` puts the reply into the
        cache, and says which pools that concerns."""
        meta = about.metadata
        resource = POOLS if isinstance(about, Pool) else ADAPTERS
        write = Write(
            _name(resource, about.key, subresource), meta.uid, meta.generation, meta.resource_version, content
        )

        async def patch_and_take_over() -> None:
            done = await self._ctx.kube.patch(resource, meta.namespace, meta.name, patch, subresource)
            self._ctx.metrics.writes.labels(subresource or "finalizer").inc()
            self._ctx.cache.wake(taken(done))

        event = "an object could not be written"
        return await self._try(write, event, patch_and_take_over, kind=resource.kind, object=about.key)

    async def _try(self, write: Write, event: str, act: Callable[[], Awaitable[None]], **fields: str) -> Written:
        if self._failed.is_refused(write):
            return Written()
        if wait_s := self._failed.wait_s(write):
            return Written(again_s=wait_s)
        try:
            await act()
        except ApiError as error:
            tell = log.info if error.is_namespace_terminating else log.warning
            tell(event, pool=self._key, status=error.status, error=error.message, **fields)
            return Written(error=error, again_s=self._failed.failed(write, error))
        self._failed.succeeded(write)
        return Written(is_done=True)


def _name(resource: Resource, key: str, subresource: str | None) -> str:
    """Of a write."""
    return f"{subresource or 'finalizer'} of {resource.kind} {key}"
