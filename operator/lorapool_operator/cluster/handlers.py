"""kopf's events into the cache. Nothing is decided here, and kopf writes nothing: `on.event` keeps no state."""

from typing import Any

import kopf

from lorapool_common.kube.kubeconfig import load_access
from lorapool_common.kube.resources import ADAPTERS, DEPLOYMENTS, PODS, POOLS, REPLICA_SETS, Resource
from lorapool_operator.cluster.cache import OWNED_KINDS, ObjectCache
from lorapool_operator.cluster.indexer import Indexer


def registry(cache: ObjectCache, *, watch_namespaces: bool) -> kopf.OperatorRegistry:
    """The handlers, all of them alike: an object came, changed or went."""
    handlers = kopf.OperatorRegistry()
    kopf.on.login(registry=handlers)(_login)
    kinds: tuple[tuple[Resource, Indexer[Any]], ...] = (
        (POOLS, cache.pools),
        (ADAPTERS, cache.adapters),
        (PODS, cache.pods),
        (REPLICA_SETS, cache.replica_sets),
        (DEPLOYMENTS, cache.deployments),
        *((kind, cache.owned[kind.kind]) for kind in OWNED_KINDS),
    )
    for resource, indexer in kinds:
        kopf.on.event(resource.group, resource.version, resource.plural, registry=handlers)(_handler(cache, indexer))
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


def _handler(cache: ObjectCache, indexer: Indexer[Any]) -> Any:
    async def handle(event: kopf.RawEvent, **_: Any) -> None:
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
