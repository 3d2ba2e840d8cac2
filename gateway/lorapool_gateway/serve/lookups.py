"""How many repositories that nobody declared callers may have looked up, and which pool served which."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from lorapool_gateway.errors import TooManyLookups

# A minute, of one caller and of all; each gateway counts for itself. What was served before counts as no look-up.
LOOKUPS_OF_ONE: Final = 20
LOOKUPS_OF_ALL: Final = 60
_MINUTE_S: Final = 60.0
_MOST_CALLERS: Final = 1024
_MOST_SERVED: Final = 4096


@dataclass
class _Bucket:
    """Look-ups that are left, as of a moment."""

    left: float
    at_s: float


class Lookups:
    """Token buckets: as many at once as in a minute, then one after the other."""

    def __init__(self, clock: Callable[[], float], of_one: int = LOOKUPS_OF_ONE, of_all: int = LOOKUPS_OF_ALL) -> None:
        self._clock = clock
        self._of_one = of_one
        self._of_all = of_all
        self._all = _Bucket(of_all, clock())
        self._callers: OrderedDict[bytes, _Bucket] = OrderedDict()
        self._served: OrderedDict[str, str] = OrderedDict()

    def admit(self, caller: bytes, repos: Iterable[str]) -> None:
        """Count those that were not served before.

        Args:
            caller: says whose key it is; empty: anybody's, which only the bound on all concerns.

        Raises:
            TooManyLookups
        """
        for repo in repos:
            if repo in self._served:
                continue
            buckets = [(self._all, self._of_all)]
            if caller:
                buckets.append((self._bucket(caller), self._of_one))
            if not all(self._has_one(bucket, most) for bucket, most in buckets):
                raise TooManyLookups(repo)
            for bucket, _ in buckets:
                bucket.left -= 1

    def served(self, repos: Iterable[str], pool: str) -> None:
        """Note where these were served."""
        for repo in repos:
            self._served[repo] = pool
            self._served.move_to_end(repo)
            if len(self._served) > _MOST_SERVED:
                self._served.popitem(last=False)

    def first(self, repos: Iterable[str], pools: Iterable[str]) -> list[str]:
        """The pools, the one that served these before at the beginning."""
        before = {self._served.get(repo) for repo in repos}
        return sorted(pools, key=lambda pool: pool not in before)

    def _bucket(self, caller: bytes) -> _Bucket:
        bucket = self._callers.setdefault(caller, _Bucket(self._of_one, self._clock()))
        self._callers.move_to_end(caller)
        if len(self._callers) > _MOST_CALLERS:
            self._callers.popitem(last=False)
        return bucket

    def _has_one(self, bucket: _Bucket, most: int) -> bool:
        now_s = self._clock()
        bucket.left = min(most, bucket.left + (now_s - bucket.at_s) * most / _MINUTE_S)
        bucket.at_s = now_s
        return bucket.left >= 1
