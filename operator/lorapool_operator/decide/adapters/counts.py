"""How many adapters of a pool fare how."""

from collections.abc import Iterable

from lorapool_api.kinds.adapter import AdapterStatus
from lorapool_api.kinds.conditions import AdapterCondition, find, traits
from lorapool_api.kinds.pool import AdapterCounts


def adapter_counts(statuses: Iterable[AdapterStatus]) -> AdapterCounts:
    rows = list(statuses)
    return AdapterCounts(
        total=len(rows), ready=sum(_is_ready(s) for s in rows), failed=sum(_needs_somebody(s) for s in rows)
    )


def _is_ready(status: AdapterStatus) -> bool:
    ready = find(status.conditions, AdapterCondition.READY)
    return ready is not None and ready.is_true


def _needs_somebody(status: AdapterStatus) -> bool:
    """Whether waiting does not help. A suspended adapter is as somebody wants it."""
    if _is_ready(status) or status.summary is None:
        return False
    return traits(status.summary).needs_somebody
