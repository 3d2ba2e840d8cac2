"""The status of an adapter that changes pools: the old one serves it until the new one does."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from lorapool_api.kinds.adapter import Adapter, AdapterStatus
from lorapool_api.kinds.conditions import AdapterCondition, Condition, Reason, find, with_transition_times
from lorapool_operator.decide.adapters.checker import CheckResult
from lorapool_operator.seen.handover import ServedElsewhere

# What makes a pool that was found for an adapter none for it.
_NO_POOL_FOR_IT: Final = (Reason.POOL_NOT_FOUND, Reason.NAMESPACE_NOT_ALLOWED)


def is_let_go(result: CheckResult) -> bool:
    """Whether the pool that was found for it is none any more, so that another one is looked for."""
    finding = result.finding
    return result.adapter.spec.pool_ref is None and finding is not None and finding.verdict.reason in _NO_POOL_FOR_IT


def while_moving(new: AdapterStatus, adapter: Adapter, old: ServedElsewhere, now: datetime) -> AdapterStatus:
    """The status while the old pool serves it: how far it is in the new one, and how it is served by the old one.

    Args:
        new: the status that it has in the pool that it moves to.
    """
    ready = find(new.conditions, AdapterCondition.READY)
    if not old.is_kept or (ready is not None and ready.is_true):
        return new
    there = old.status or adapter.status
    served = find(there.conditions, AdapterCondition.READY)
    if served is None:
        return new
    here = _served(served, ready, old.pool, new) if ready is not None else served
    # The pool is part of what the spec asks for.
    behind = {"status": "False", "reason": here.reason, "message": here.message}
    moving = {
        AdapterCondition.READY: here,
        **{c.type: c.model_copy(update=behind) for c in new.conditions if c.type == AdapterCondition.UP_TO_DATE},
    }
    conditions = [moving.get(c.type, c) for c in new.conditions]
    return there.model_copy(
        update={
            "observed_generation": new.observed_generation,
            "pool_name": old.pool,
            "summary": summary(conditions),
            "conditions": with_transition_times(conditions, adapter.status.conditions, now),
        }
    )


def _served(there: Condition, here: Condition, pool: str, new: AdapterStatus) -> Condition:
    """Ready, as the old pool has it, and why the new one has not taken over."""
    if not there.is_true:
        return there.model_copy(update={"observed_generation": here.observed_generation})
    text = f"pool {pool} serves it until pool {new.pool_name} does, which does not yet ({here.reason}): {here.message}"
    return here.model_copy(update={"status": "True", "reason": Reason.MOVING, "message": text})


def summary(conditions: Iterable[Condition]) -> str:
    """The reason of the first condition that is not true; of Ready, when all are."""
    rows = list(conditions)
    ready = next(c.reason for c in rows if c.type == AdapterCondition.READY)
    return next((c.reason for c in rows if not c.is_true), ready)
