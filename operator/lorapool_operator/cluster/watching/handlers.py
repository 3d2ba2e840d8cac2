"""kopf's events into the cache, of all kinds but adapters. Nothing is decided here, and kopf writes nothing: `on.event`
keeps no state."""

import time
from collections.abc import Callable
from typing import Any, Final

import kopf

from lorapool_common.kube.kubeconfig import load_access
from lorapool_common.kube.resources import DEPLOYMENTS, PODS, POOLS, REPLICA_SETS, Resource
from lorapool_operator.cluster.cache import OWNED_KINDS, ObjectCache
from lorapool_operator.cluster.indexer import Indexer

# However many objects there are.
_FIRST_LIST_S: Final = 10.0


def registry(cache: ObjectCache, begun_anew: Callable[[], None], *, watch_namespaces: bool) -> kopf.OperatorRegistry:
    """The handlers, all of them alike: an object came, changed or went. Adapters have a watch of their own.

    Args:
        begun_anew: called when a watch could not go on and began with a list again.
    """
    handlers = kopf.OperatorRegistry()
    kopf.on.login(registry=handlers)(_login)
    kinds: tuple[tuple[Resource, Indexer[Any]], ...] = (
        (POOLS, cache.pools),
        (PODS, cache.pods),
        (REPLICA_SETS, cache.replica_sets),
        (DEPLOYMENTS, cache.deployments),
        *((kind, cache.owned[kind.kind]) for kind in OWNED_KINDS),
    )
    for resource, indexer in kinds:
        kopf.on.event(resource.group, resource.version, resource.plural, registry=handlers)(
            _handler(cache, indexer, begun_anew)
        )
    if watch_namespaces:
        kopf.on.event("", "v1", "namespaces", registry=handlers)(_namespace_handler(cache))
    return handlers


async def _login(**_: Any) -> kopf.ConnectionInfo:
    """The credentials that the rest of the operator has. kopf asks again when they are refused."""
    access = await load_access()
    user, password = access.basic or (None, None)
    return kopf.ConnectionInfo(
        server=access.server,
        ca_data=access.authority,
        insecure=access.is_insecure,
        username=user,
        password=password,
        token=access.token,
        certificate_data=access.certificate,
        private_key_data=access.key,
        proxy_url=access.proxy,
    )


class FirstList:
    """Tells the objects that a watch began with from those of a later list. `clock`: seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ends_s: float | None = None

    def is_over(self, change: str | None) -> bool:
        """Whether an object is of another list than the first; of one that changed, its list is long over."""
        if change is not None:
            self._ends_s = 0.0
            return False
        if self._ends_s is None:
            self._ends_s = self._clock() + _FIRST_LIST_S
        return self._clock() >= self._ends_s


def _handler(cache: ObjectCache, indexer: Indexer[Any], begun_anew: Callable[[], None]) -> Any:
    first_list = FirstList()

    async def handle(event: kopf.RawEvent, **_: Any) -> None:
        if first_list.is_over(event["type"]):
            begun_anew()
        change = indexer.remove_manifest if event["type"] == "DELETED" else indexer.put_manifest
        cache.wake(change(event["object"]))

    return handle


def _namespace_handler(cache: ObjectCache) -> Any:
    async def handle(event: kopf.RawEvent, **_: Any) -> None:
        if event["type"] == "DELETED":
            cache.remove_namespace(event["object"]["metadata"]["name"])
        else:
            cache.put_namespace(event["object"])

    return handle
