"""The order of the queue, on a simulated clock."""

from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorapool_runtime.queue.policy import QueueRules, StackId, TimeSlice, batch_with, next_stacks, pick

BASE: StackId = ()
PIXEL: StackId = (("pixel", 1.0),)
TOY: StackId = (("toy", 1.0),)


def adapter(number: int) -> StackId:
    return ((f"adapter-{number}", 1.0),)


@dataclass(frozen=True, eq=False)
class Arrival:
    """A request in the queue."""

    stack_id: StackId
    arrived_s: float = 0.0
    shape: str | None = "64"
    images: int = 1
    mixes: bool = True
    number: int = 0


@dataclass
class Served:
    """What one engine did: indices of the arrivals in the order of service, when each began, how often it switched."""

    order: list[int] = field(default_factory=list)
    began_s: dict[int, float] = field(default_factory=dict)
    switches: int = 0


def serve(
    arrivals: list[tuple[float, StackId]], rules: QueueRules, service_s: float = 1.0, switch_s: float = 0.0
) -> Served:
    now, current, served = 0.0, TimeSlice(BASE, 0.0), Served()
    left = [Arrival(stack, at, number=i) for i, (at, stack) in enumerate(arrivals)]
    while left:
        here = [arrival for arrival in left if arrival.arrived_s <= now]
        if not here:
            now = left[0].arrived_s
            continue
        picked = pick(here, current, now, rules)
        left.remove(picked)
        served.order.append(picked.number)
        if picked.stack_id != current.stack_id:
            current = TimeSlice(picked.stack_id, now, switch_s)
            served.switches += 1
            now += switch_s
        served.began_s[picked.number] = now
        now += service_s
    return served


def order(arrivals: list[tuple[float, StackId]], patience_s: float) -> list[int]:
    return serve(arrivals, QueueRules(patience_s, slice_s=0)).order


def test_requests_for_the_active_stack_come_first() -> None:
    assert order([(0, PIXEL), (0, TOY), (0, PIXEL), (0, TOY)], patience_s=100) == [0, 2, 1, 3]


def test_the_oldest_comes_when_nobody_wants_the_active_stack() -> None:
    assert order([(0, TOY), (0, PIXEL)], patience_s=100) == [0, 1]


def test_another_strength_is_another_stack() -> None:
    assert order([(0, PIXEL), (0, (("pixel", 0.5),)), (0, PIXEL)], patience_s=100) == [0, 2, 1]


def test_nobody_is_overtaken_for_longer_than_the_bound() -> None:
    # One request for another adapter in an endless stream for the active one.
    arrivals = [(0.0, PIXEL), (0.1, TOY), *((0.2 + i, PIXEL) for i in range(30))]
    served = order(arrivals, patience_s=5)
    assert served.index(1) <= 7


def test_the_bare_base_is_a_stack_like_any_other() -> None:
    assert order([(0, BASE), (0, PIXEL), (0, BASE)], patience_s=100) == [0, 2, 1]


def test_where_all_wait_too_long_each_adapter_gets_a_slice_instead_of_each_request_a_switch() -> None:
    """Twenty adapters, 400 requests at once, in turn: first come first served would switch for each."""
    arrivals = [(0.0, adapter(i % 20)) for i in range(400)]
    served = serve(arrivals, QueueRules(patience_s=1, slice_s=2), service_s=0.25, switch_s=0.01)
    assert served.switches <= 400 / 8 + 20
    # Fair: when half of them are served, every adapter has had its share.
    shares = Counter(arrivals[i][1] for i in served.order[:200])
    assert min(shares.values()) >= 8


@pytest.mark.parametrize(("switch_s", "share"), [(0.001, 1.0), (0.1, 0.5), (2.0, 0.06)])
def test_the_more_a_switch_costs_the_longer_is_a_slice(switch_s: float, share: float) -> None:
    """Twenty adapters in turn, more than can be served: switches never take much of the time."""
    arrivals = [(0.0, adapter(i % 20)) for i in range(400)]
    served = serve(arrivals, QueueRules(patience_s=1, slice_s=0, min_slice_ratio=5), service_s=0.25, switch_s=switch_s)
    assert served.switches <= share * len(arrivals)
    spent_s = served.switches * switch_s
    assert spent_s <= len(arrivals) * 0.25 / 2


def test_a_busy_adapter_does_not_starve_a_quiet_one() -> None:
    """One adapter could fill the engine alone; another is asked for now and then."""
    busy = [(i * 0.5, PIXEL) for i in range(200)]
    quiet = [(float(t), TOY) for t in range(5, 60, 10)]
    arrivals = sorted([*busy, *quiet], key=lambda a: a[0])
    served = serve(arrivals, QueueRules(patience_s=5, slice_s=2))
    waits = [served.began_s[i] - at for i, (at, stack) in enumerate(arrivals) if stack == TOY]
    assert max(waits) <= 5 + 2 + 1


@given(
    st.lists(st.tuples(st.floats(0, 50), st.integers(0, 5)), min_size=1, max_size=60),
    st.floats(0, 10),
    st.floats(0, 5),
)
def test_everybody_is_served_once_and_nobody_is_passed_over_for_ever(
    wanted: list[tuple[float, int]], patience_s: float, slice_s: float
) -> None:
    arrivals = [(at, adapter(number)) for at, number in sorted(wanted)]
    served = serve(arrivals, QueueRules(patience_s, slice_s))
    assert sorted(served.order) == list(range(len(arrivals)))
    for place, late in enumerate(served.order):
        # Who is served before an older one of another adapter began within the patience and a slice of it.
        for early in served.order[place + 1 :]:
            if early < late and arrivals[early][1] != arrivals[late][1]:
                slices = 1 + len({stack for _, stack in arrivals})
                assert served.began_s[late] - arrivals[early][0] <= patience_s + slices * (slice_s + 1) + len(arrivals)


@pytest.mark.parametrize(
    ("waiting", "most", "expected"),
    [
        ([Arrival(PIXEL), Arrival(TOY), Arrival(PIXEL)], 1, (0,)),
        ([Arrival(PIXEL), Arrival(TOY), Arrival(PIXEL)], 2, (0, 2)),  # its own kind first
        ([Arrival(PIXEL), Arrival(TOY), Arrival(PIXEL)], 3, (0, 2, 1)),
        ([Arrival(PIXEL), Arrival(TOY, mixes=False), Arrival(BASE)], 3, (0, 2)),
        ([Arrival(PIXEL, mixes=False), Arrival(TOY), Arrival(PIXEL, mixes=False)], 3, (0, 2)),
        ([Arrival(PIXEL), Arrival(PIXEL, shape="128")], 3, (0,)),
        ([Arrival(PIXEL, shape=None), Arrival(PIXEL, shape=None)], 3, (0,)),
        ([Arrival(PIXEL, images=3), Arrival(PIXEL, images=2), Arrival(TOY)], 4, (0, 2)),
        ([Arrival(PIXEL, images=8), Arrival(PIXEL)], 4, (0,)),  # more than a forward takes: alone, one after the other
    ],
)
def test_who_shares_a_forward(waiting: list[Arrival], most: int, expected: tuple[int, ...]) -> None:
    batch = batch_with(waiting[0], waiting, most, lambda arrival: arrival.mixes)
    assert tuple(waiting.index(arrival) for arrival in batch) == expected


def test_the_active_stack_goes_on_and_then_come_the_others_as_they_came() -> None:
    toy, base, pixel, toy_again = (Arrival(stack) for stack in (TOY, BASE, PIXEL, TOY))
    assert next_stacks([toy, base, pixel, toy_again], PIXEL) == [pixel, toy, base]
    none: list[Arrival] = []
    assert next_stacks(none, PIXEL) == []
