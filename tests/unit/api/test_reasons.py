"""How reasons are treated: one table for all parts."""

import pickle

import pytest

from lorapool_api.kinds.conditions import Reason, Remedy, Subject, Traits, traits


def test_a_reason_is_a_word_with_traits() -> None:
    assert Reason("SourceNotFound") is Reason.SOURCE_NOT_FOUND
    assert Reason.SOURCE_NOT_FOUND.traits == Traits(Remedy.HELP, Subject.SOURCE)
    assert traits("SourceNotFound") is Reason.SOURCE_NOT_FOUND.traits
    assert pickle.loads(pickle.dumps(Reason.SERVED)) is Reason.SERVED  # noqa: S301 -- our own


def test_a_word_of_a_newer_version_neither_passes_nor_is_good() -> None:
    unknown = traits("FasterThanLight")

    assert not unknown.is_transient
    assert not unknown.is_undecided
    assert unknown.needs_somebody
    assert unknown.subject is None


@pytest.mark.parametrize("reason", [r for r in Reason if r.traits.is_transient])
def test_what_passes_asks_nobody_for_anything(reason: Reason) -> None:
    assert not reason.traits.needs_somebody


def test_a_source_that_is_away_for_now_was_looked_at_and_what_is_under_way_was_not() -> None:
    assert not Reason.SOURCE_UNAVAILABLE.traits.is_undecided
    assert Reason.DOWNLOADING.traits.is_undecided
    assert Reason.WAITING_FOR_PODS.traits.is_undecided
