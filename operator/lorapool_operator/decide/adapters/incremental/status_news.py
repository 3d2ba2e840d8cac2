"""Whether a status is worth a write now: it is written for people, and each write is read by all who watch.

A person wants to know at once that an adapter is served, or what keeps it from that. How far it is where that takes a
moment, and how many pods have it by now, can wait until there is more to say.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from lorapool_api.kinds.adapter import AdapterStatus
from lorapool_api.kinds.conditions import AdapterCondition, Condition, Reason, find, traits
from lorapool_operator.decide.adapters.adapter_status import WantedStatus

# Of most adapters these are over when somebody could have read them.
_QUICK: Final = (Reason.RESOLVING, Reason.DOWNLOADING, Reason.LOADING)
# How far thousands are is written later: it would hold up the writes that say that they are served, each for so long.
_CROWD: Final = 200
_WRITE_S: Final = 0.006
_LONGEST_CROWD_S: Final = 60.0


class StatusNews(Enum):
    """What a status says that the one before did not; the value is how many seconds that may wait."""

    CHANGE = 0.0
    PROGRESS = 1.0
    COUNTS = 10.0

    @property
    def may_wait_s(self) -> float:
        return self.value


def news_of(before: AdapterStatus, now: AdapterStatus) -> StatusNews:
    """What is new in a status that differs from the one before."""
    if before.summary == now.summary and _without_counts(before) == _without_counts(now):
        return StatusNews.COUNTS
    is_same_way = before.observed_generation in (None, now.observed_generation)
    if is_same_way and before.summary in (None, *_QUICK) and now.summary in _QUICK and not _is_ready(before):
        return StatusNews.PROGRESS
    return StatusNews.CHANGE


def _is_ready(status: AdapterStatus) -> bool:
    ready = find(status.conditions, AdapterCondition.READY)
    return ready is not None and ready.is_true


def _without_counts(status: AdapterStatus) -> tuple[Any, ...]:
    """What is left when nobody counts pods."""
    pods, candidate = status.pods, status.candidate
    uncounted = {"pods": None, "conditions": (), "candidate": None}
    counted_message = {"message": ""}
    return (
        status.model_copy(update=uncounted),
        tuple(map(_condition, status.conditions)),
        candidate and (candidate.model_copy(update=counted_message) if _counts(candidate.reason) else candidate),
        pods and (pods.failed, pods.unplaced),
    )


def _condition(condition: Condition) -> Condition:
    return condition.model_copy(update={"message": ""}) if _counts(condition.reason) else condition


def _counts(reason: str) -> bool:
    """Whether its sentence counts pods."""
    return reason == Reason.SERVED or traits(reason).is_transient


@dataclass(frozen=True)
class DueStatuses:
    """The statuses that are to be written now.

    Attributes:
        since_s: since when each object has another status than it shall have, by adapter's key.
        again_s: when the next of those that wait is due; 0: none waits.
    """

    now: tuple[WantedStatus, ...]
    since_s: Mapping[str, float]
    again_s: float


def _may_wait_s(wanted: WantedStatus, crowd_s: float) -> float:
    news = news_of(wanted.adapter.status, wanted.status)
    return news.may_wait_s + (crowd_s if news is StatusNews.PROGRESS else 0.0)


def due_statuses(new: Sequence[WantedStatus], since_s: Mapping[str, float], clock_s: float) -> DueStatuses:
    """Those of the new ones that may not wait, or have waited.

    Args:
        since_s: of the pass before.
    """
    since = {wanted.adapter.key: since_s.get(wanted.adapter.key, clock_s) for wanted in new}
    crowd_s = min(max(len(new) - _CROWD, 0) * _WRITE_S, _LONGEST_CROWD_S)
    left = [(w, _may_wait_s(w, crowd_s) - clock_s + since[w.adapter.key]) for w in new]
    waits = [left_s for _, left_s in left if left_s > 0]
    return DueStatuses(tuple(wanted for wanted, left_s in left if left_s <= 0), since, min(waits, default=0.0))
