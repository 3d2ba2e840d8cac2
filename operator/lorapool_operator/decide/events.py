"""The Kubernetes events that a change of a status makes: what a person wants to be told of."""

from collections.abc import Iterable
from dataclasses import dataclass

from lorapool_api.kinds.adapter import Adapter, AdapterStatus
from lorapool_api.kinds.conditions import AdapterCondition, Condition, PoolCondition, Reason, Remedy, find, traits
from lorapool_api.kinds.pool import Pool, PoolStatus


@dataclass(frozen=True)
class EventDraft:
    """What an event about an object will say."""

    about: Adapter | Pool
    reason: str
    message: str
    is_warning: bool


def adapter_events(adapter: Adapter, now: AdapterStatus) -> tuple[EventDraft, ...]:
    """One when the summary changed to something that lasts: what somebody has to do, or that this is over.

    That a new adapter is served, or one that waited, its conditions say: an event for each of a thousand is no news.
    """
    before = adapter.status.summary
    if now.summary is None or now.summary == before or traits(now.summary).is_transient:
        return ()
    if not traits(now.summary).needs_somebody and (before is None or traits(before).is_transient):
        return ()
    deciding = next((c for c in now.conditions if not c.is_true), find(now.conditions, AdapterCondition.READY))
    if deciding is None:
        return ()
    good = deciding.is_true or traits(deciding.reason).remedy is Remedy.NOTHING
    return (EventDraft(adapter, deciding.reason, deciding.message, not good),)


def pool_events(pool: Pool, now: PoolStatus) -> tuple[EventDraft, ...]:
    """When it becomes available or not, degraded or for another reason, and when a rollout is late."""
    before = pool.status
    available = _change(PoolCondition.AVAILABLE, before.conditions, now.conditions)
    degraded = _change(PoolCondition.DEGRADED, before.conditions, now.conditions)
    moving = _change(PoolCondition.PROGRESSING, before.conditions, now.conditions)
    events = []
    if available and (available.is_true or find(before.conditions, PoolCondition.AVAILABLE)):
        is_bad = not available.is_true and traits(available.reason).remedy is not Remedy.NOTHING
        events.append(EventDraft(pool, available.reason, available.message, is_bad))
    if degraded and degraded.is_true:
        events.append(EventDraft(pool, degraded.reason, degraded.message, True))
    if moving and moving.reason == Reason.PROGRESS_DEADLINE_EXCEEDED:
        events.append(EventDraft(pool, moving.reason, moving.message, True))
    return tuple(events)


def _change(type_: str, before: Iterable[Condition], now: Iterable[Condition]) -> Condition | None:
    """The condition as it is now, if its status or the reason for it is another."""
    old, new = find(before, type_), find(now, type_)
    if new is None or (old is not None and (old.status, old.reason) == (new.status, new.reason)):
        return None
    return new
