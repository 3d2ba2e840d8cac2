"""Who has had how much of the engine, and who comes next for it: start-time fair queuing, by caller.

Goyal, Vin, Cheng: Start-time Fair Queuing (SIGCOMM 1996). A virtual clock counts the seconds of work that each caller
has had; whoever asks after a while begins at the clock, not at zero, so nobody saves up turns. A caller that sends many
requests is due later with each: it waits for itself, and nobody else for it.
"""

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final, Protocol, TypeVar

from lorapool_runtime.queue.fair.terms import QueueTerms

# How long a caller may get nothing until its next request counts as one of the next higher priority.
AGING_S: Final = 15.0


class HasTerms(Protocol):
    """A request in the queue, as far as its turn goes."""

    @property
    def arrived_s(self) -> float: ...
    @property
    def terms(self) -> QueueTerms: ...


Entry = TypeVar("Entry", bound=HasTerms)


@dataclass(frozen=True)
class Rank:
    """Where a request stands.

    Attributes:
        level: its priority, raised where its caller has had nothing for long.
        due_s: on the virtual clock.
    """

    level: int = 0
    due_s: float = 0.0
    caller: str = ""

    def is_before(self, other: "Rank", lead_s: float) -> bool:
        """Whether it goes first whatever a switch costs: by its level, or because the other's caller has had more
        than `lead_s` more."""
        if self.level != other.level:
            return self.level > other.level
        return self.caller != other.caller and other.due_s - self.due_s > lead_s


Ranks = Mapping[Hashable, Rank]


@dataclass(frozen=True)
class DueWork:
    """Seconds of waiting work that are due before one more request of no priority.

    Attributes:
        newcomer_s: of a caller that has none, and has had nothing lately.
        callers_s: of each of the others.
    """

    newcomer_s: float = 0.0
    callers_s: Mapping[str, float] = field(default_factory=dict)


class FairShares:
    """What each caller has had. Pure but for that."""

    def __init__(self, aging_s: float = AGING_S) -> None:
        self._aging_s = aging_s
        self._virtual_s = 0.0
        self._had_s: dict[str, float] = {}
        self._served_at_s: dict[str, float] = {}

    def ranked(
        self, waiting: Sequence[Entry], now_s: float, cost_s: Callable[[Entry], float]
    ) -> list[tuple[Rank, Entry]]:
        """The requests with their ranks, in the order in which they are due.

        Args:
            waiting: in order of arrival.
            cost_s: seconds of work of a request.
        """
        of: defaultdict[str, list[Entry]] = defaultdict(list)
        for entry in waiting:
            of[entry.terms.caller].append(entry)
        highest = max((entry.terms.priority for entry in waiting), default=0)
        rows = [row for caller, own in of.items() for row in self._own(caller, own, now_s, cost_s, highest)]
        return sorted(rows, key=self._order)

    def _order(self, row: tuple[Rank, Entry]) -> tuple[int, float, float, float]:
        """Of those that are due at once, first whose caller has waited longest for a turn."""
        rank, entry = row
        return -rank.level, rank.due_s, self._served_at_s.get(rank.caller, -math.inf), entry.arrived_s

    def _own(
        self, caller: str, own: list[Entry], now_s: float, cost_s: Callable[[Entry], float], highest: int
    ) -> Iterable[tuple[Rank, Entry]]:
        """Those of one caller: its higher priorities first, each due when those before it are done."""
        own.sort(key=lambda entry: -entry.terms.priority)
        due_s = max(self._virtual_s, self._had_s.get(caller, 0.0))
        first = min(own, key=lambda entry: entry.arrived_s)
        unserved_s = now_s - max(first.arrived_s, self._served_at_s.get(caller, first.arrived_s))
        # Only up to what others ask for: where nobody asks for a priority, turns are by what each has had.
        raised = min(highest, own[0].terms.priority + int(unserved_s / self._aging_s))
        for number, entry in enumerate(own):
            yield Rank(raised if number == 0 else entry.terms.priority, due_s, caller), entry
            due_s += max(0.0, cost_s(entry))

    def due_before(self, ranked: Sequence[tuple[Rank, Entry]], cost_s: Callable[[Entry], float]) -> "DueWork":
        """The work that would be due before one more request, by whose it is."""
        own_s: defaultdict[str, float] = defaultdict(float)
        for rank, entry in ranked:
            own_s[rank.caller] += max(0.0, cost_s(entry))
        urgent_s = sum(max(0.0, cost_s(entry)) for rank, entry in ranked if rank.level > 0)
        usual = [(rank.due_s, max(0.0, cost_s(entry))) for rank, entry in ranked if rank.level <= 0]
        usual.sort()
        due_s, sums_s = [due for due, _ in usual], [0.0, *accumulate(seconds for _, seconds in usual)]

        def before(caller: str) -> float:
            own_due_s = max(self._virtual_s, self._had_s.get(caller, 0.0)) + own_s.get(caller, 0.0)
            return urgent_s + sums_s[bisect_right(due_s, own_due_s)]

        known = own_s.keys() | self._had_s.keys()
        newcomer_s = urgent_s + sums_s[bisect_right(due_s, self._virtual_s)]
        return DueWork(newcomer_s, {caller: before(caller) for caller in known})

    def served(
        self,
        batch: Sequence[Entry],
        ranked: Sequence[tuple[Rank, Entry]],
        now_s: float,
        cost_s: Callable[[Entry], float],
    ) -> None:
        """These have their turn now; `ranked` is what they were picked from."""
        self._virtual_s = max(self._virtual_s, min((rank.due_s for rank, _ in ranked), default=0.0))
        work_s = 0.0
        for entry in batch:
            caller, own_s = entry.terms.caller, max(0.0, cost_s(entry))
            self._had_s[caller] = max(self._virtual_s, self._had_s.get(caller, 0.0)) + own_s
            self._served_at_s[caller] = now_s
            work_s += own_s
        # Each of those who wait, and one who comes next, is due a share of what was worked: else all who come anew, and
        # begin at the clock, would for ever be due before one who has had a little more.
        self._virtual_s += work_s / (1 + len({rank.caller for rank, _ in ranked}))
        # Whoever has had less than the clock begins there anyway.
        for caller in [caller for caller, had_s in self._had_s.items() if had_s < self._virtual_s]:
            del self._had_s[caller], self._served_at_s[caller]


def displaced_by(caller: str, ranked: Sequence[tuple[Rank, Entry]], own: int = 0) -> Entry | None:
    """Of a full queue the request that makes room for one more of this caller: the last of whoever has most there.

    None: nobody has more than this caller would have with it. `own`: so many more it has that are not there yet.
    """
    counts: defaultdict[str, int] = defaultdict(int)
    for rank, _ in ranked:
        counts[rank.caller] += 1
    longest = max(counts, key=lambda name: counts[name], default=caller)
    if longest == caller or counts[longest] <= counts.get(caller, 0) + own + 1:
        return None
    return next(entry for rank, entry in reversed(ranked) if rank.caller == longest)
