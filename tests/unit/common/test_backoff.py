"""Pauses grow to a bound, spread, and start over."""

from lorapool_common.backoff import MOST_ASKED_S, Backoff


def test_pauses_double_up_to_the_last() -> None:
    backoff = Backoff(1.0, 7.0, uniform=lambda low, high: 1.0)
    assert [backoff.next() for _ in range(5)] == [1, 2, 4, 7, 7]
    backoff.reset()
    assert backoff.next() == 1


def test_pauses_are_spread_by_a_fraction_of_their_length() -> None:
    assert Backoff(10.0, 10.0, uniform=min).next() == 8
    assert Backoff(10.0, 10.0, jitter=0.5, uniform=max).next() == 15


def test_it_never_ends() -> None:
    backoff = Backoff(0.1, 5.0)
    assert all(0.08 <= backoff.next() <= 6 for _ in range(3000))


def test_who_asks_for_a_longer_pause_gets_it_within_bounds() -> None:
    backoff = Backoff(1.0, 7.0, uniform=lambda low, high: 1.0)
    assert [backoff.next(asked_s) for asked_s in (3.0, 0.5, 3600.0)] == [3, 2, MOST_ASKED_S]
    assert backoff.next() == 7, "what was asked for once is no pause of ours"
