"""How many copies of an adapter its requests justify: up at once, down slowly."""

import math
from dataclasses import dataclass
from typing import Final

# A minute of traffic decides; a burst of some seconds is what the queues are for.
_WINDOW_S: Final = 60.0
# A pod that is busy with one adapter for more than half of its time has others to serve too.
_SHARE_OF_POD: Final = 0.5
# A copy costs disk that is there anyway, bringing it back costs a transfer.
_FALL_S: Final = 600.0


@dataclass(frozen=True)
class Demand:
    """What is remembered of an adapter's requests.

    Attributes:
        load: pods that its requests keep busy, as an average over about a minute.
        copies: so many copies that load justifies.
        at_s: when that was noted, on a clock that never goes back.
        low_since_s: since when fewer copies would do; None: not now.
    """

    load: float = 0.0
    copies: int = 0
    at_s: float = 0.0
    low_since_s: float | None = None


def noted(before: Demand, busy_s: float, now_s: float, pods: int) -> Demand:
    """The demand after so many pods were busy so long with the adapter since it was last noted.

    The load is an exponential average: with an even load x it reaches 0.63 x after a minute.
    """
    passed_s = now_s - before.at_s
    if passed_s <= 0:
        return before
    kept = math.exp(-passed_s / _WINDOW_S)
    # No pod works longer than time passes, whatever it says.
    load = before.load * kept + min(busy_s / passed_s, float(pods)) * (1 - kept)
    needed = min(math.ceil(load / _SHARE_OF_POD), pods) if load >= _SHARE_OF_POD else 0
    if needed >= before.copies:
        return Demand(load, needed, now_s)
    since_s = now_s if before.low_since_s is None else before.low_since_s
    if now_s - since_s < _FALL_S:
        return Demand(load, before.copies, now_s, since_s)
    return Demand(load, before.copies - 1, now_s, now_s)
