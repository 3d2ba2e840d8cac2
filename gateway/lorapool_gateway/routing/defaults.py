"""What a request leaves open, as the adapters that it names have it: pure."""

from collections.abc import Iterable

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.pool import Pool
from lorapool_api.kinds.serving import FoundDefaults
from lorapool_api.rules.defaults import of_adapter, of_stack
from lorapool_api.wire.request import GenerateRequest


def filled(request: GenerateRequest, adapters: Iterable[Adapter], pool: Pool | None) -> GenerateRequest:
    """The request with the defaults of its adapters, in their order. What they leave open is left to the pod.

    Pods do the same; but one of an older version does not, and what the pool does not allow is refused before a request
    waits for a pod.
    """
    if pool is None:
        return request
    return request.model_copy(update=_open(request, of_stack(defaults_of(adapter, pool) for adapter in adapters)))


def defaults_of(adapter: Adapter, pool: Pool) -> FoundDefaults:
    """What a request with this adapter alone gets that does not say, as far as its object tells."""
    found = adapter.status.resolved.defaults if adapter.status.resolved else None
    return of_adapter(adapter.spec.defaults, found, pool.spec.serving.limits)


def _open(request: GenerateRequest, defaults: FoundDefaults) -> dict[str, object]:
    """What the defaults say and the request does not."""
    said = {field: getattr(defaults, field) for field in FoundDefaults.model_fields}
    return {field: value for field, value in said.items() if value is not None and getattr(request, field) is None}
