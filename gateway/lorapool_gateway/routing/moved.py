"""Requests for adapters that have moved to another pool since their names were looked up: pure."""

from dataclasses import replace

from lorapool_api.kinds.conditions import Reason
from lorapool_gateway.cluster.snapshot import Snapshot
from lorapool_gateway.errors import AdapterUnavailable
from lorapool_gateway.routing.allowed import check_allowed
from lorapool_gateway.routing.request import ResolvedRequest


def at_its_pool(request: ResolvedRequest, snapshot: Snapshot) -> ResolvedRequest:
    """The request to the pool that serves its adapters now.

    Raises:
        OutOfScope: the caller's key is not for that pool.
        AdapterUnavailable: one of the stack has moved without the others; they may follow (transient).
    """
    if not request.generate.adapters:
        return request
    known = [adapter for key in request.adapters if (adapter := snapshot.adapters.get(key))]
    moved = next((adapter for adapter in known if adapter.serving_pool != request.pool), None)
    if moved is None:
        return request
    if any(adapter.serving_pool != moved.serving_pool for adapter in known):
        text = f"it has moved to pool {moved.serving_pool}, the others of the request are in pool {request.pool}"
        raise AdapterUnavailable(moved.key, Reason.MOVING, text)
    there = replace(request, pool=moved.serving_pool)
    check_allowed(there, request.scope)
    return there
