"""What is said of objects that somebody has paused."""

from datetime import datetime
from typing import Final

from lorapool_api import names
from lorapool_api.kinds.adapter import Adapter, AdapterStatus
from lorapool_api.kinds.conditions import PAUSED_CONDITION, Condition, Reason, with_transition_times
from lorapool_operator.seen.verdict import Verdict

PAUSED: Final = Verdict(
    Reason.PAUSED,
    f"annotation {names.PAUSED_ANNOTATION}: the operator looks and reports, and changes nothing until it is taken away",
)


def with_paused(status: AdapterStatus, adapter: Adapter, now: datetime) -> AdapterStatus:
    """The status with a condition that says so, where the adapter is paused. Its summary stays."""
    if not adapter.metadata.is_paused:
        return status
    condition = Condition(
        type=PAUSED_CONDITION,
        status="True",
        reason=PAUSED.reason,
        message=PAUSED.message,
        observed_generation=adapter.metadata.generation,
    )
    said = with_transition_times((condition,), adapter.status.conditions, now)
    return status.model_copy(update={"conditions": (*status.conditions, *said)})
