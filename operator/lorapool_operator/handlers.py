"""kopf's events into the store. Nothing is decided here, and kopf writes nothing: `on.event` keeps no state."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar

import kopf
from lorapool_api import names
from lorapool_api.adapter import Adapter
from lorapool_api.pool import Pool

from lorapool_operator.act.kube import load_configuration
from lorapool_operator.observed import DeploymentView, PodView, deployment_view, pod_view
from lorapool_operator.parse import read_adapter, read_pool
from lorapool_operator.store import Shelf, Store
from lorapool_operator.sync import put, remove

T = TypeVar("T", Adapter, Pool, PodView, DeploymentView)

WATCH_TIMEOUT_S: Final = 300


class _Endless:
    """Delays between tries of a request, without end: an API server that is away for minutes must not end the operator.

    kopf iterates over it anew for each request, so it must be iterable more than once.
    """

    def __iter__(self) -> Iterator[float]:
        yield from (0.2, 0.5, 1.0)
        while True:
            yield 2.0


def watch_settings() -> kopf.OperatorSettings:
    """Settings for watching only. Each line has its reason."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False  # events are sent by our own recorder
    settings.scanning.disabled = True  # watching CRDs would need more permissions; they are there before kopf starts
    settings.peering.standalone = True  # kopf's peering pauses both of two equals; a Lease decides who acts
    settings.networking.error_backoffs = _Endless()  # else a minute of 503 ends the operator
    settings.watching.server_timeout = WATCH_TIMEOUT_S  # an int: 300.0 is refused by the API server
    settings.watching.inactivity_timeout = 70  # notices an API server that froze
    settings.queueing.worker_limit = None  # a limit starves objects for minutes
    settings.queueing.idle_timeout = 0.5  # one task per object lives this long: saves memory in a burst
    for kind in ("pods", "deployments"):
        settings.watching.label_selectors[kind] = names.POOL_LABEL
    return settings


def registry(store: Store, *, watch_namespaces: bool) -> kopf.OperatorRegistry:
    """The handlers, all of them alike: an object came, changed or went."""
    handlers = kopf.OperatorRegistry()
    kopf.on.login(registry=handlers)(_login)
    kinds: tuple[tuple[tuple[str, ...], Any], ...] = (
        ((names.GROUP, names.VERSION, names.POOL_PLURAL), _keeper(store, store.pools, read_pool)),
        ((names.GROUP, names.VERSION, names.ADAPTER_PLURAL), _keeper(store, store.adapters, read_adapter)),
        (("", "v1", "pods"), _keeper(store, store.pods, pod_view)),
        (("apps", "v1", "deployments"), _keeper(store, store.deployments, deployment_view)),
    )
    for resource, handler in kinds:
        kopf.on.event(*resource, registry=handlers)(handler)
    if watch_namespaces:
        kopf.on.event("", "v1", "namespaces", registry=handlers)(_namespace_keeper(store))
    return handlers


async def _login(**_: Any) -> kopf.ConnectionInfo:
    """The credentials that the rest of the operator has. kopf asks again when they are refused."""
    found = await load_configuration()
    bearer = str(found.api_key.get("BearerToken", ""))
    return kopf.ConnectionInfo(
        server=found.host,
        ca_path=found.ssl_ca_cert,
        insecure=not found.verify_ssl,
        scheme="Bearer" if bearer else None,
        token=bearer.rpartition(" ")[2] or None,
        certificate_path=found.cert_file,
        private_key_path=found.key_file,
    )


def _keeper(store: Store, shelf: Shelf[T], read: Callable[[Mapping[str, Any]], T]) -> Any:
    async def keep(event: kopf.RawEvent, **_: Any) -> None:
        change = remove if event["type"] == "DELETED" else put
        store.wake(change(shelf, event["object"], read))

    return keep


def _namespace_keeper(store: Store) -> Any:
    async def keep(event: kopf.RawEvent, **_: Any) -> None:
        meta = event["object"]["metadata"]
        store.put_namespace(meta["name"], None if event["type"] == "DELETED" else meta.get("labels") or {})

    return keep
