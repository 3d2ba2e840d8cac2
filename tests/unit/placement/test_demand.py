"""Copies by demand: a hot adapter spreads within a minute and falls back slowly."""

from lorapool_operator.placement.demand import Demand, noted

PODS = 20


def after(demand: Demand, busy: float, seconds: int) -> Demand:
    """A demand after so many seconds, in each of which pods were busy with it for that long."""
    for _ in range(seconds):
        demand = noted(demand, busy, demand.at_s + 1.0, PODS)
    return demand


def test_what_nobody_asks_for_justifies_no_copy() -> None:
    assert after(Demand(), 0.0, 3600).copies == 0


def test_a_request_now_and_then_justifies_no_copy() -> None:
    demand = Demand()
    for _ in range(30):
        demand = after(noted(demand, 3.0, demand.at_s + 1.0, PODS), 0.0, 119)
        assert demand.copies == 0


def test_what_keeps_a_pod_busy_spreads_within_a_minute() -> None:
    assert after(Demand(), 1.0, 60).copies == 2


def test_what_keeps_four_pods_busy_gets_eight_copies_in_the_end() -> None:
    assert after(Demand(), 4.0, 600).copies == 8


def test_copies_fall_one_by_one_and_not_at_once() -> None:
    hot = after(Demand(), 4.0, 600)
    assert after(hot, 0.0, 590).copies == 8
    assert 1 <= after(hot, 0.0, 1900).copies <= 6
    assert after(hot, 0.0, 8000).copies == 0


def test_a_pause_does_not_begin_the_fall() -> None:
    demand = after(Demand(), 4.0, 600)
    for _ in range(20):
        demand = after(after(demand, 0.0, 300), 4.0, 300)
    assert demand.copies == 8


def test_a_clock_that_stands_still_changes_nothing() -> None:
    demand = after(Demand(), 1.0, 10)
    assert noted(demand, 5.0, demand.at_s, PODS) == demand


def test_a_pod_that_claims_more_than_time_has_passed_is_not_believed() -> None:
    liar = noted(Demand(), 1e300, 1.0, PODS)
    assert liar.copies <= 1
    assert after(liar, 0.0, 700).copies == 0
