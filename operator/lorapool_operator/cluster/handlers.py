"""kopf's events into the cache. Nothing is decided here, and kopf writes nothing: `on.event` keeps no state."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import kopf

from lorapool_api import names
from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.pool import Pool
from lorapool_common.kube.kubeconfig import load_access
from lorapool_operator.cluster.cache import Indexer, ObjectCache
from lorapool_operator.cluster.relist import put, put_namespace, remove
from lorapool_operator.seen.parse import deployment_view, pod_view, read_adapter, read_pool, replica_set_view
from lorapool_operator.seen.views import DeploymentView, PodView, ReplicaSetView

T = TypeVar("T", Adapter, Pool, PodView, ReplicaSetView, DeploymentView)


def registry(cache: ObjectCache, *, watch_namespaces: bool) -> kopf.OperatorRegistry:
    """The handlers, all of them alike: an object came, changed or went."""
    handlers = kopf.OperatorRegistry()
    kopf.on.login(registry=handlers)(_login)
    kinds: tuple[tuple[tuple[str, ...], Any], ...] = (
        ((names.GROUP, names.VERSION, names.POOL_PLURAL), _handler(cache, cache.pools, read_pool)),
        ((names.GROUP, names.VERSION, names.ADAPTER_PLURAL), _handler(cache, cache.adapters, read_adapter)),
        (("", "v1", "pods"), _handler(cache, cache.pods, pod_view)),
        (("apps", "v1", "replicasets"), _handler(cache, cache.replica_sets, replica_set_view)),
        (("apps", "v1", "deployments"), _handler(cache, cache.deployments, deployment_view)),
    )
    for resource, handler in kinds:
        kopf.on.event(*resource, registry=handlers)(handler)
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


def _handler(cache: ObjectCache, indexer: Indexer[T], read: Callable[[Mapping[str, Any]], T]) -> Any:
    async def handle(event: kopf.RawEvent, **_: Any) -> None:
        change = remove if event["type"] == "DELETED" else put
        cache.wake(change(indexer, event["object"], read))

    return handle


def _namespace_handler(cache: ObjectCache) -> Any:
    async def handle(event: kopf.RawEvent, **_: Any) -> None:
        if event["type"] == "DELETED":
            cache.put_namespace(event["object"]["metadata"]["name"], None)
        else:
            put_namespace(cache, event["object"])

    return handle
