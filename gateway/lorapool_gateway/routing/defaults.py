"""What a request leaves open, as the adapters that it names have it: pure."""

from collections.abc import Iterable

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.serving import FoundDefaults, ServingLimits
from lorapool_api.rules.defaults import NO_DEFAULTS, first_said, of_adapter, of_stack
from lorapool_api.wire.request import GenerateRequest
from lorapool_gateway.cluster.snapshot import Snapshot
from lorapool_gateway.routing.stacks import members_of


def filled(request: GenerateRequest, pool: str, snapshot: Snapshot) -> GenerateRequest:
    """The request with the defaults of its adapters, in their order. What they leave open is left to the pod.

    Pods do the same; but one of an older version does not, none knows the stacks that a request names, and what the
    pool does not allow is refused before a request waits for a pod.
    """
    if not request.adapters:
        return request
    adapters = (adapter for use in request.adapters if (adapter := snapshot.adapters.get(use.key)))
    return request.model_copy(update=_open(request, of_stack(defaults_of(a, pool, snapshot) for a in adapters)))


def defaults_of(adapter: Adapter, pool: str, snapshot: Snapshot) -> FoundDefaults:
    """What a request with this adapter alone gets that does not say, as far as its object tells.

    A stack's own go before those of its members.
    """
    known = snapshot.pools.get(pool)
    return _defaults_of(adapter, known.spec.serving.limits, snapshot) if known else NO_DEFAULTS


def _defaults_of(adapter: Adapter, limits: ServingLimits, snapshot: Snapshot) -> FoundDefaults:
    if not adapter.is_stack:
        found = adapter.status.resolved.defaults if adapter.status.resolved else None
        return of_adapter(adapter.spec.defaults, found, limits)
    members: Iterable[Adapter | None] = (m.adapter for m in members_of(adapter, snapshot))
    files = (m for m in members if m and not m.is_stack)
    return first_said(adapter.spec.defaults, of_stack(_defaults_of(m, limits, snapshot) for m in files))


def _open(request: GenerateRequest, defaults: FoundDefaults) -> dict[str, object]:
    """What the defaults say and the request does not."""
    said = {field: getattr(defaults, field) for field in FoundDefaults.model_fields}
    return {field: value for field, value in said.items() if value is not None and getattr(request, field) is None}
