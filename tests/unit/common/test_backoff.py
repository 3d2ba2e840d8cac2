"""Pauses grow to a bound, spread, and start over."""

from lorapool_common.backoff import Backoff


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
