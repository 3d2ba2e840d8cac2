"""How urgent a request is and until when anybody wants it, by headers that the key bounds: pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from lorapool_api.wire.request import MAX_PRIORITY
from lorapool_gateway.callers.caller import Caller
from lorapool_gateway.errors import BadRequest

PRIORITY: Final = "x-lorapool-priority"
DEADLINE: Final = "x-lorapool-deadline"
_MOST_S: Final = 86_400.0
_CHARACTERS: Final = 32


@dataclass(frozen=True)
class Terms:
    """Attributes:
    caller: who asks, as pods are told it: they need not know names. Empty where everyone may ask.
    priority: the higher, the sooner.
    within_s: seconds from when the request came; None: as the pool has it.
    """

    caller: str = ""
    priority: int = 0
    within_s: float | None = None


NO_TERMS: Final = Terms()


def terms_of(headers: Mapping[str, str], caller: Caller) -> Terms:
    """What the headers ask for, as far as the key allows it; more is cut to that. Raises: BadRequest."""
    priority = min(_priority(headers.get(PRIORITY)), caller.max_priority)
    bounds_s = [seconds for seconds in (_seconds(headers.get(DEADLINE)), caller.max_deadline_s) if seconds is not None]
    tag = sha256(caller.name.encode()).hexdigest()[:16] if caller.name else ""
    return Terms(tag, priority, min(bounds_s, default=None))


def _priority(text: str | None) -> int:
    if text is None:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= 2 and int(text) <= MAX_PRIORITY):
        raise BadRequest(f"{PRIORITY} is a whole number from 0 to {MAX_PRIORITY}", param=PRIORITY)
    return int(text)


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        seconds = float(text) if text.isascii() and len(text) <= _CHARACTERS else math.nan
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= _MOST_S:
        raise BadRequest(f"{DEADLINE} is a number of seconds, more than 0 and at most {_MOST_S:.0f}", param=DEADLINE)
    return seconds
