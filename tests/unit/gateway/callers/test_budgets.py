"""What each key may still ask for, on a clock of the test."""

from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st
from limits import parse_many

from lorapool_gateway.callers.budgets import KeyBudgets
from lorapool_gateway.callers.caller import ANYONE, Caller
from lorapool_gateway.errors import BadRequest, RateExceeded, TooManyAtOnce


class Clock:
    """Seconds as a test says."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def caller(rate: str = "", concurrent: int | None = None, name: str = "a") -> Caller:
    return Caller(name, b"digest", rates=tuple(parse_many(rate)) if rate else (), concurrent=concurrent)


def test_as_many_requests_at_once_as_the_key_allows() -> None:
    budgets, mine = KeyBudgets(), caller(concurrent=2)
    with budgets.request(mine), budgets.request(caller(concurrent=2, name="b")), ExitStack() as second:
        second.enter_context(budgets.request(mine))
        with pytest.raises(TooManyAtOnce), budgets.request(mine):
            pass
        second.close()
        with budgets.request(mine):
            assert budgets.under_way(mine) == 2
    assert budgets.under_way(mine) == 0


def test_a_window_moves_and_says_when_there_is_room() -> None:
    clock = Clock()
    budgets, mine = KeyBudgets(clock=clock), caller("3/minute")
    budgets.spend(mine, 2)
    clock.now_s = 10
    budgets.spend(mine, 1)
    with pytest.raises(RateExceeded) as found:
        budgets.spend(mine, 2)
    assert found.value.retry_after_s == 50
    with pytest.raises(RateExceeded) as three:
        budgets.spend(mine, 3)
    assert three.value.retry_after_s == 60
    clock.now_s = 60
    budgets.spend(mine, 2)


def test_of_two_rates_both_count_and_a_refusal_spends_nothing() -> None:
    clock = Clock()
    budgets, mine = KeyBudgets(clock=clock), caller("2/second; 3/minute")
    budgets.spend(mine, 2)
    with pytest.raises(RateExceeded):
        budgets.spend(mine, 1)
    clock.now_s = 1
    budgets.spend(mine, 1)
    clock.now_s = 2
    with pytest.raises(RateExceeded, match="3 per 1 minute"):
        budgets.spend(mine, 1)


def test_what_never_fits_is_no_matter_of_time() -> None:
    with pytest.raises(BadRequest):
        KeyBudgets().spend(caller("3/minute"), 4)


def test_a_request_larger_than_a_share_goes_when_nothing_else_is_in_the_window() -> None:
    clock = Clock()
    budgets, mine = KeyBudgets(lambda: 4, clock), caller("4/minute")
    budgets.spend(mine, 4)
    with pytest.raises(RateExceeded):
        budgets.spend(mine, 1)
    clock.now_s = 60
    budgets.spend(mine, 1)


def test_everybody_who_has_no_bounds_goes() -> None:
    budgets = KeyBudgets()
    for _ in range(1000):
        budgets.spend(ANYONE, 1)
    with budgets.request(ANYONE), budgets.request(ANYONE):
        pass


@given(st.integers(1, 6), st.integers(1, 40), st.integers(1, 40))
def test_gateways_together_give_what_the_key_may_but_for_the_rounding(
    gateways: int, rate: int, concurrent: int
) -> None:
    mine = caller(f"{rate}/minute", concurrent)
    images = at_once = 0
    with ExitStack() as open_requests:
        for budgets in [KeyBudgets(lambda: gateways, Clock()) for _ in range(gateways)]:
            for _ in range(50):
                try:
                    open_requests.enter_context(budgets.request(mine))
                except TooManyAtOnce:
                    break
                at_once += 1
            for _ in range(50):
                try:
                    budgets.spend(mine, 1)
                except RateExceeded:
                    break
                images += 1
    assert rate <= images < rate + gateways
    assert concurrent <= at_once < concurrent + gateways


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(1, 3)), max_size=60))
def test_no_window_ever_holds_more_than_its_rate(asked: list[tuple[float, int]]) -> None:
    clock = Clock()
    budgets, mine, given_ = KeyBudgets(clock=clock), caller("5/minute"), []
    waits_s: list[float] = []
    for pause_s, images in asked:
        clock.now_s += pause_s
        try:
            budgets.spend(mine, images)
        except RateExceeded as error:
            waits_s.append(error.retry_after_s or 0.0)
            continue
        given_ += [clock.now_s] * images
        assert sum(at > clock.now_s - 60 for at in given_) <= 5
    assert all(0 < wait_s <= 60 for wait_s in waits_s)
