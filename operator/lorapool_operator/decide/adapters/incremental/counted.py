"""How many adapters of a pool are how, from pass to pass."""

from collections import Counter
from collections.abc import Mapping

from lorapool_api.kinds.adapter import AdapterStatus
from lorapool_api.kinds.conditions import AdapterCondition, find, traits
from lorapool_api.kinds.pool import AdapterCounts


class Tally:
    """Counts of statuses, each taken in and out by itself."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()

    def replace(self, before: AdapterStatus | None, now: AdapterStatus | None) -> None:
        """Count the one in the place of the other."""
        for status, sign in ((before, -1), (now, 1)):
            if status is not None:
                self._reasons[status.summary or ""] += sign
                for name, number in _counts(status).items():
                    self._counts[name] += sign * number

    @property
    def counts(self) -> AdapterCounts:
        return AdapterCounts(**{name: self._counts[name] for name in AdapterCounts.model_fields})

    @property
    def by_reason(self) -> Mapping[str, int]:
        """How many have which summary."""
        return {reason: count for reason, count in self._reasons.items() if count}


def _counts(status: AdapterStatus) -> Mapping[str, int]:
    """What it adds to `AdapterCounts`."""
    pods, ready = status.pods, find(status.conditions, AdapterCondition.READY)
    is_ready = ready is not None and ready.is_true
    return {
        "total": 1,
        "ready": is_ready,
        "failed": not is_ready and _needs_somebody(status),
        "copies": pods.copies if pods else 0,
        "unplaced": (pods.unplaced or 0) if pods else 0,
    }


def _needs_somebody(status: AdapterStatus) -> bool:
    """Whether waiting does not help. A suspended adapter is as somebody wants it."""
    return status.summary is not None and traits(status.summary).needs_somebody
