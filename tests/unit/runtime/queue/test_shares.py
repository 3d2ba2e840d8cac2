"""Whose turn it is, on a simulated clock: a caller that floods waits for itself."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from statistics import fmean, median, quantiles

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorapool_runtime.queue.fair.shares import AGING_S, FairShares, displaced_by
from lorapool_runtime.queue.fair.terms import QueueTerms
from lorapool_runtime.queue.policy import QueueRules, StackId, TimeSlice, pick

RULES = QueueRules()


@dataclass(frozen=True, eq=False)
class Sent:
    """A request in the queue."""

    caller: str
    adapter: str = "a"
    arrived_s: float = 0.0
    cost_s: float = 1.0
    priority: int = 0
    shape: None = None
    images: int = 1

    @property
    def stack_id(self) -> StackId:
        return ((self.adapter, 1.0),)

    @property
    def terms(self) -> QueueTerms:
        return QueueTerms(self.caller, self.priority)


def cost(one: Sent) -> float:
    return one.cost_s


@dataclass
class Pod:
    """An engine that makes one request after the other; when each began."""

    rules: QueueRules = RULES
    switch_s: float = 0.05
    switches: int = 0

    def serve(self, sent: Sequence[Sent]) -> dict[Sent, float]:
        shares, now_s, current = FairShares(), 0.0, TimeSlice((), 0.0)
        left, began_s = sorted(sent, key=lambda one: one.arrived_s), dict[Sent, float]()
        while left:
            here = [one for one in left if one.arrived_s <= now_s]
            if not here:
                now_s = left[0].arrived_s
                continue
            ranked = shares.ranked(here, now_s, cost)
            ranks = {one: rank for rank, one in ranked}
            picked = pick(list(ranks), current, now_s, self.rules, ranks.__getitem__)
            shares.served([picked], ranked, now_s, cost)
            if picked.stack_id != current.stack_id:
                current = TimeSlice(picked.stack_id, now_s, self.switch_s)
                self.switches += 1
                now_s += self.switch_s
            left.remove(picked)
            began_s[picked] = now_s
            now_s += picked.cost_s
        return began_s


def waits(began_s: dict[Sent, float], caller: str) -> list[float]:
    return [at - one.arrived_s for one, at in began_s.items() if one.caller == caller]


@pytest.mark.parametrize("adapter", ["a", "b"])
@pytest.mark.parametrize("cost_s", [0.5, 8.0])
def test_a_caller_that_floods_waits_for_itself(adapter: str, cost_s: float) -> None:
    """Sixty at once; somebody else asks now and then, with the same adapter or another."""
    flood = [Sent("flood", cost_s=cost_s) for _ in range(60)]
    quiet = [Sent("quiet", adapter, 10.0 * (1 + number), cost_s) for number in range(3)]
    began_s = Pod().serve([*flood, *quiet])
    # What runs, and what is left of a slice.
    assert max(waits(began_s, "quiet")) <= 2 * cost_s + RULES.slice_s + 1
    assert max(waits(began_s, "flood")) >= 55 * cost_s


def test_one_who_comes_back_has_saved_up_nothing() -> None:
    """A caller that was away while another worked does not have the engine alone for as long."""
    before = [Sent("a", cost_s=8.0) for _ in range(20)]
    both = [Sent(caller, adapter, 160.0, 8.0) for caller, adapter in (("a", "a"), ("b", "b")) for _ in range(10)]
    began_s = Pod().serve([*before, *both])
    order = sorted(both, key=lambda one: began_s[one])
    first_half = [one.caller for one in order[:10]]
    assert 4 <= first_half.count("b") <= 6


def test_newcomers_do_not_push_back_who_has_worked_before() -> None:
    """Somebody new asks each time that a picture is made: who was there before gets its turns too."""
    before = [Sent("a", arrived_s=0.0, cost_s=8.0) for _ in range(10)]
    late = [Sent("a", arrived_s=80.0, cost_s=8.0) for _ in range(3)]
    new = [Sent(f"new-{number}", arrived_s=79.0 + 8 * number, cost_s=8.0) for number in range(60)]
    began_s = Pod().serve([*before, *late, *new])
    assert max(began_s[one] - 80.0 for one in late) <= 120


def test_turns_of_those_who_wait_are_told_ahead() -> None:
    """What is brought near first, and what is before a request with a deadline."""
    sent = [Sent("a"), Sent("a"), Sent("a"), Sent("b", arrived_s=0.1, cost_s=2.0), Sent("b", arrived_s=0.2)]
    ranked = FairShares().ranked(sent, 1.0, cost)
    assert [one.caller for _, one in ranked] == ["a", "b", "a", "a", "b"]
    assert [rank.due_s for rank, _ in ranked] == [0, 0, 1, 2, 2]


def test_without_callers_all_is_as_the_active_stack_and_patience_have_it() -> None:
    sent = [Sent("", "ab"[number % 2], number * 0.1) for number in range(40)]
    began_s = Pod().serve(sent)
    current, now_s, left, order = TimeSlice((), 0.0), 0.0, list(sent), []
    while left:
        here = [one for one in left if one.arrived_s <= now_s]
        picked = pick(here, current, now_s, RULES)
        if picked.stack_id != current.stack_id:
            current = TimeSlice(picked.stack_id, now_s, 0.05)
            now_s += 0.05
        left.remove(picked)
        order.append(picked)
        now_s += 1.0
    assert sorted(sent, key=lambda one: began_s[one]) == order


def test_many_callers_of_few_adapters_still_share_switches() -> None:
    """Sixty callers with one request each, for three adapters: no more switches than where nobody says who asks."""
    known, unknown = Pod(), Pod()
    known.serve([Sent(f"caller-{number}", "abc"[number % 3], number * 0.01) for number in range(60)])
    unknown.serve([Sent("", "abc"[number % 3], number * 0.01) for number in range(60)])
    assert known.switches <= unknown.switches + 1 < 60 / 2


def test_a_higher_priority_comes_first_and_a_lower_one_comes_too() -> None:
    urgent = [Sent(f"urgent-{number}", arrived_s=number * 1.0, priority=2) for number in range(200)]
    plain = Sent("plain", arrived_s=5.5)
    began_s = Pod().serve([*urgent, plain])
    assert max(waits({one: at for one, at in began_s.items() if one.arrived_s <= 30}, "urgent-6")) <= 1
    wait_s = began_s[plain] - plain.arrived_s
    assert 2 * AGING_S <= wait_s <= 2 * AGING_S + 3


def test_of_one_caller_the_higher_priority_comes_first() -> None:
    sent = [Sent("a", priority=0), Sent("a", priority=0), Sent("a", priority=1)]
    began_s = Pod().serve(sent)
    assert min(sent, key=lambda one: began_s[one]) is sent[2]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 4), st.integers(0, 3), st.floats(0, 30), st.floats(0.1, 8), st.sampled_from([0, 0, 0, 1, 3])
        ),
        min_size=1,
        max_size=40,
    )
)
def test_everybody_is_served_and_nobody_much_later_than_their_share(
    wanted: list[tuple[int, int, float, float, int]],
) -> None:
    sent = [Sent(f"c{who}", f"a{what}", at, cost_s, priority) for who, what, at, cost_s, priority in wanted]
    began_s = Pod().serve(sent)
    assert len(began_s) == len(sent)
    if any(one.priority for one in sent):
        return
    by_caller = defaultdict(list)
    for one in sent:
        by_caller[one.caller].append(one)
    most_s = max(one.cost_s for one in sent)
    for caller, own in by_caller.items():
        if len(own) == 1:
            # Others each have at most a request more, and a slice of the stack that is active; switches beside it.
            bound = (len(by_caller) + 1) * (2 * most_s + RULES.slice_s) + 0.05 * len(sent)
            assert began_s[own[0]] - own[0].arrived_s <= bound, caller


def test_of_a_full_queue_the_last_of_the_longest_makes_room() -> None:
    sent = [Sent("flood", arrived_s=float(number)) for number in range(4)] + [Sent("b", arrived_s=9.0)]
    ranked = FairShares().ranked(sent, 10.0, cost)
    assert displaced_by("c", ranked) is sent[3]
    assert displaced_by("b", ranked) is sent[3]
    assert displaced_by("flood", ranked) is None
    assert displaced_by("c", ranked, own=2) is sent[3]
    assert displaced_by("c", ranked, own=3) is None
    alike = FairShares().ranked([Sent("a"), Sent("b")], 0.0, cost)
    assert displaced_by("a", alike) is None
    assert displaced_by("c", alike) is None
    assert displaced_by("", FairShares().ranked([Sent("") for _ in range(9)], 0.0, cost)) is None


def test_what_is_due_before_one_more_is_little_for_a_newcomer_and_all_of_it_for_who_floods() -> None:
    shares, sent = FairShares(), [*(Sent("many") for _ in range(60)), Sent("one"), Sent("one")]
    ranked = shares.ranked(sent, 0.0, cost)
    due = shares.due_before(ranked, cost)
    # The first of each of the two; the second of the other; and all that there is.
    assert (due.newcomer_s, due.callers_s["one"], due.callers_s["many"]) == (2.0, 5.0, 62.0)


def test_who_has_had_more_waits_for_who_has_had_less() -> None:
    shares = FairShares()
    first = [Sent("many"), Sent("many"), Sent("one")]
    for turn in range(2):
        ranked = shares.ranked(first[turn:], 0.0, cost)
        shares.served([first[turn]], ranked, 0.0, cost)
    due = shares.due_before(shares.ranked([Sent("one")], 0.0, cost), cost)
    assert due.callers_s["many"] == 1.0
    assert due.newcomer_s <= due.callers_s["many"]


def test_what_is_urgent_is_due_before_anybodys_next() -> None:
    shares, sent = FairShares(), [Sent("one", priority=2, cost_s=7.0), Sent("two")]
    due = shares.due_before(shares.ranked(sent, 0.0, cost), cost)
    assert (due.newcomer_s, due.callers_s["two"]) == (8.0, 8.0)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0.1, 20.0)), max_size=30))
def test_nobody_waits_for_more_than_there_is_nor_a_newcomer_longer_than_anybody(rows: list[tuple[str, float]]) -> None:
    shares, sent = FairShares(), [Sent(caller, cost_s=cost_s) for caller, cost_s in rows]
    due = shares.due_before(shares.ranked(sent, 0.0, cost), cost)
    whole_s = sum(cost_s for _, cost_s in rows)
    assert set(due.callers_s) == {caller for caller, _ in rows}
    assert all(due.newcomer_s <= wait_s <= whole_s + 1e-6 for wait_s in due.callers_s.values())


def test_equal_callers_wait_as_long_in_the_mean_as_first_come_first_served_and_most_of_them_less() -> None:
    """Twenty callers with bursts of three fill the pod; only the end of a burst waits longer for it."""
    random = Random(1)  # noqa: S311 -- a trace, not a secret
    times: list[tuple[str, float]] = []
    for number in range(100):
        at_s = random.uniform(0.0, 2400.0)
        times += [(f"key-{number % 20}", at_s + random.uniform(0.0, 3.0)) for _ in range(3)]
    one_switch = QueueRules(patience_s=0.0, slice_s=0.0)
    fair, plain = (
        [at - one.arrived_s for one, at in Pod(one_switch, switch_s=0.0).serve(sent).items()]
        for sent in (
            [Sent(caller, arrived_s=at_s, cost_s=8.0) for caller, at_s in times],
            [Sent("", arrived_s=at_s, cost_s=8.0) for _, at_s in times],
        )
    )
    assert fmean(fair) == pytest.approx(fmean(plain))
    assert median(fair) < median(plain)
    assert quantiles(fair, n=20)[-1] > quantiles(plain, n=20)[-1]
