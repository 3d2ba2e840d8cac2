"""The order of the queue, on a simulated clock."""

from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorapool_runtime.queue.policy import Rules, Stack, Turn, Waiting, choose, companions, following

BASE: Stack = ()
PIXEL: Stack = (("pixel", 1.0),)
TOY: Stack = (("toy", 1.0),)


def adapter(number: int) -> Stack:
    return ((f"adapter-{number}", 1.0),)


@dataclass
class Served:
    """What one engine did: indices of the arrivals in the order of service, when each began, how often it switched."""

    order: list[int] = field(default_factory=list)
    began_s: dict[int, float] = field(default_factory=dict)
    switches: int = 0


def serve(arrivals: list[tuple[float, Stack]], rules: Rules, service_s: float = 1.0, switch_s: float = 0.0) -> Served:
    now, turn, served = 0.0, Turn(BASE, 0.0), Served()
    left = list(range(len(arrivals)))
    while left:
        here = [i for i in left if arrivals[i][0] <= now]
        if not here:
            now = arrivals[left[0]][0]
            continue
        chosen = here[choose([Waiting(arrivals[i][1], arrivals[i][0]) for i in here], turn, now, rules)]
        left.remove(chosen)
        served.order.append(chosen)
        if arrivals[chosen][1] != turn.stack:
            turn = Turn(arrivals[chosen][1], now, switch_s)
            served.switches += 1
            now += switch_s
        served.began_s[chosen] = now
        now += service_s
    return served


def order(arrivals: list[tuple[float, Stack]], patience_s: float) -> list[int]:
    return serve(arrivals, Rules(patience_s, turn_s=0)).order


def test_requests_for_what_is_in_force_come_first() -> None:
    assert order([(0, PIXEL), (0, TOY), (0, PIXEL), (0, TOY)], patience_s=100) == [0, 2, 1, 3]


def test_the_oldest_comes_when_nobody_wants_what_is_in_force() -> None:
    assert order([(0, TOY), (0, PIXEL)], patience_s=100) == [0, 1]


def test_another_strength_is_another_stack() -> None:
    assert order([(0, PIXEL), (0, (("pixel", 0.5),)), (0, PIXEL)], patience_s=100) == [0, 2, 1]


def test_nobody_is_overtaken_for_longer_than_the_bound() -> None:
    # One request for another adapter in an endless stream for the one that is in force.
    arrivals = [(0.0, PIXEL), (0.1, TOY), *((0.2 + i, PIXEL) for i in range(30))]
    served = order(arrivals, patience_s=5)
    assert served.index(1) <= 7


def test_the_bare_base_is_a_stack_like_any_other() -> None:
    assert order([(0, BASE), (0, PIXEL), (0, BASE)], patience_s=100) == [0, 2, 1]


def test_where_all_wait_too_long_each_adapter_gets_a_turn_instead_of_each_request_a_switch() -> None:
    """Twenty adapters, 400 requests at once, in turn: first come first served would switch for each."""
    arrivals = [(0.0, adapter(i % 20)) for i in range(400)]
    served = serve(arrivals, Rules(patience_s=1, turn_s=2), service_s=0.25, switch_s=0.01)
    assert served.switches <= 400 / 8 + 20
    # Fair: when half of them are served, every adapter has had its share.
    shares = Counter(arrivals[i][1] for i in served.order[:200])
    assert min(shares.values()) >= 8


@pytest.mark.parametrize(("switch_s", "share"), [(0.001, 1.0), (0.1, 0.5), (2.0, 0.06)])
def test_the_more_a_switch_costs_the_longer_is_a_turn(switch_s: float, share: float) -> None:
    """Twenty adapters in turn, more than can be served: switches never take much of the time."""
    arrivals = [(0.0, adapter(i % 20)) for i in range(400)]
    served = serve(arrivals, Rules(patience_s=1, turn_s=0, worth=5), service_s=0.25, switch_s=switch_s)
    assert served.switches <= share * len(arrivals)
    spent_s = served.switches * switch_s
    assert spent_s <= len(arrivals) * 0.25 / 2


def test_a_busy_adapter_does_not_starve_a_quiet_one() -> None:
    """One adapter could fill the engine alone; another is asked for now and then."""
    busy = [(i * 0.5, PIXEL) for i in range(200)]
    quiet = [(float(t), TOY) for t in range(5, 60, 10)]
    arrivals = sorted([*busy, *quiet], key=lambda a: a[0])
    served = serve(arrivals, Rules(patience_s=5, turn_s=2))
    waits = [served.began_s[i] - at for i, (at, stack) in enumerate(arrivals) if stack == TOY]
    assert max(waits) <= 5 + 2 + 1


@given(
    st.lists(st.tuples(st.floats(0, 50), st.integers(0, 5)), min_size=1, max_size=60),
    st.floats(0, 10),
    st.floats(0, 5),
)
def test_everybody_is_served_once_and_nobody_is_passed_over_for_ever(
    wanted: list[tuple[float, int]], patience_s: float, turn_s: float
) -> None:
    arrivals = [(at, adapter(number)) for at, number in sorted(wanted)]
    served = serve(arrivals, Rules(patience_s, turn_s))
    assert sorted(served.order) == list(range(len(arrivals)))
    for place, late in enumerate(served.order):
        # Who is served before an older one of another adapter began within the patience and a turn of it.
        for early in served.order[place + 1 :]:
            if early < late and arrivals[early][1] != arrivals[late][1]:
                turns = 1 + len({stack for _, stack in arrivals})
                assert served.began_s[late] - arrivals[early][0] <= patience_s + turns * (turn_s + 1) + len(arrivals)


def wanting(stack: Stack, *, mixes: bool = True, rows: int = 1, shape: str | None = "64") -> Waiting:
    return Waiting(stack, 0.0, shape, mixes, rows)


@pytest.mark.parametrize(
    ("waiting", "most", "expected"),
    [
        ([wanting(PIXEL), wanting(TOY), wanting(PIXEL)], 1, (0,)),
        ([wanting(PIXEL), wanting(TOY), wanting(PIXEL)], 2, (0, 2)),  # its own kind first
        ([wanting(PIXEL), wanting(TOY), wanting(PIXEL)], 3, (0, 1, 2)),
        ([wanting(PIXEL), wanting(TOY, mixes=False), wanting(BASE)], 3, (0, 2)),
        ([wanting(PIXEL, mixes=False), wanting(TOY), wanting(PIXEL, mixes=False)], 3, (0, 2)),
        ([wanting(PIXEL), wanting(PIXEL, shape="128")], 3, (0,)),
        ([wanting(PIXEL, shape=None), wanting(PIXEL, shape=None)], 3, (0,)),
        ([wanting(PIXEL, rows=3), wanting(PIXEL, rows=2), wanting(TOY)], 4, (0, 2)),
        ([wanting(PIXEL, rows=8), wanting(PIXEL)], 4, (0,)),  # more than a forward takes: alone, one after the other
    ],
)
def test_who_shares_a_forward(waiting: list[Waiting], most: int, expected: tuple[int, ...]) -> None:
    assert companions(waiting, 0, most) == expected


def test_the_stack_in_force_goes_on_and_then_come_the_others_as_they_came() -> None:
    turn = Turn(PIXEL, 0.0)
    assert following([wanting(TOY), wanting(BASE), wanting(PIXEL), wanting(TOY)], turn) == (2, 0, 1)
    assert following([], turn) == ()
