"""What each key may still ask for: images in a time, and requests at once."""

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from limits import RateLimitItem

from lorapool_gateway.callers.caller import Caller
from lorapool_gateway.errors import BadRequest, RateExceeded, TooManyAtOnce

# Keys whose windows are kept: of those that are in the Secret, and a few that were.
_MOST_KEPT: Final = 4096


@dataclass
class _Spent:
    """What a key has used.

    Attributes:
        under_way: requests that have no answer yet.
        images: when the images were asked for that a window still holds, oldest first, for each rate.
    """

    under_way: int = 0
    images: dict[RateLimitItem, deque[float]] = field(default_factory=dict)


class KeyBudgets:
    """The budgets of all keys, as far as this gateway counts them.

    Gateways do not talk to each other: each gives an equal share of what a key may, so that all together give no more
    than that but for the rounding. A share is at least one, and a request for more images than a share goes when
    nothing else is in the window.
    """

    def __init__(self, gateways: Callable[[], int] = lambda: 1, clock: Callable[[], float] = time.monotonic) -> None:
        """`gateways` says how many share the requests."""
        self._gateways = gateways
        self._clock = clock
        self._spent: dict[str, _Spent] = {}

    @contextmanager
    def request(self, caller: Caller) -> Iterator[None]:
        """A request while it is under way. Raises: TooManyAtOnce."""
        spent = self._of(caller)
        most = None if caller.concurrent is None else self._share(caller.concurrent)
        if most is not None and spent.under_way >= most:
            raise TooManyAtOnce(caller.concurrent or 0, most)
        spent.under_way += 1
        try:
            yield
        finally:
            spent.under_way -= 1

    def spend(self, caller: Caller, images: int) -> None:
        """Count so many images, all or none of them.

        Raises:
            RateExceeded: now they are too many.
            BadRequest: they always are.
        """
        now_s, spent = self._clock(), self._of(caller)
        for rate in caller.rates:
            if images > rate.amount:
                raise BadRequest(f"this API key allows {rate}: a request cannot have {images} images", param="n")
            if wait_s := self._wait_s(spent, rate, images, now_s):
                raise RateExceeded(str(rate), wait_s)
        for rate in caller.rates:
            spent.images.setdefault(rate, deque()).extend([now_s] * images)

    def under_way(self, caller: Caller) -> int:
        """How many requests with the key have no answer yet."""
        return self._of(caller).under_way

    def has_little(self, caller: Caller) -> bool:
        """Whether the key has no more requests under way than keys have on average; False where there is no other."""
        if not caller.name:
            return False
        counts = [spent.under_way for spent in self._spent.values() if spent.under_way]
        return len(counts) > 1 and self.under_way(caller) * len(counts) <= sum(counts)

    def _wait_s(self, spent: _Spent, rate: RateLimitItem, images: int, now_s: float) -> float:
        """Seconds until the window has room for so many; 0: it has."""
        window = spent.images.setdefault(rate, deque())
        began_s = now_s - rate.get_expiry()
        while window and window[0] <= began_s:
            window.popleft()
        over = len(window) + images - self._share(rate.amount)
        if over <= 0 or not window:
            return 0.0
        return window[min(over, len(window)) - 1] - began_s

    def _share(self, whole: int) -> int:
        return math.ceil(whole / max(1, self._gateways()))

    def _of(self, caller: Caller) -> _Spent:
        if caller.name not in self._spent and len(self._spent) >= _MOST_KEPT:
            idle = next((name for name, spent in self._spent.items() if not spent.under_way), None)
            self._spent.pop(idle or "", None)
        return self._spent.setdefault(caller.name, _Spent())
