"""Edits of an adapter that a share of requests tries first."""

import pytest
from tests.unit.operator import make as op
from tests.unit.operator.decide.rollout.rolling import KEY, A, B, C, Rolling, hub, loading, on_hub

from lorapool_api.kinds.conditions import Reason
from lorapool_api.wire.state import AdapterPhase

CANARY = {"canary": 10}


@pytest.fixture
def edited() -> Rolling:
    """One that is served in one version, and tried in another."""
    it = Rolling(hub("a/b"), on_hub(A), rollout=CANARY)
    it.settle()
    it.edit(on_hub(B), source=hub("c/d"))
    it.settle()
    return it


def test_a_share_of_requests_gets_the_candidate_until_somebody_says_so(edited: Rolling) -> None:
    assert (edited.serving.sha256, edited.candidate.sha256, edited.candidate.percent) == (A, B, 10)
    up_to_date = op.condition(edited.status.conditions, "UpToDate")
    assert (up_to_date.status, up_to_date.reason) == ("False", Reason.CANARY)
    assert up_to_date.message.startswith("10 % of requests get it")
    assert op.condition(edited.status.conditions, "Ready").is_true
    edited.now_s = 3600.0
    edited.settle()
    assert edited.serving.sha256 == A


@pytest.mark.parametrize("rollout", [None, {"canary": 100}])
def test_it_takes_over_when_the_share_is_all(edited: Rolling, rollout: dict[str, int] | None) -> None:
    key = edited.candidate.key
    edited.edit(on_hub(B), rollout=rollout)
    edited.step()
    assert (edited.serving.key, edited.status.candidate) == (key, None)


def test_a_share_may_grow(edited: Rolling) -> None:
    edited.edit(on_hub(B), rollout={"canary": 50})
    edited.step()
    assert (edited.serving.sha256, edited.candidate.percent) == (A, 50)


def test_no_request_gets_what_the_pods_do_not_have() -> None:
    it = Rolling(hub("a/b"), on_hub(A), rollout=CANARY)
    it.settle()
    it.edit(on_hub(B), source=hub("c/d"))
    it.step()
    (rival,) = set(it.entries) - {KEY}
    it.says[f"b {rival}"] = loading()
    it.step()
    assert it.candidate.percent is None
    it.now_s = 60.0
    it.step()
    assert it.candidate.percent == 10


def test_a_share_stays_while_another_pod_comes_and_goes_with_the_last_copy(edited: Rolling) -> None:
    rival = edited.candidate.key
    edited.says[f"b {rival}"] = loading()
    edited.settle()
    assert edited.candidate.percent == 10
    edited.says[f"a {rival}"] = loading()
    edited.settle()
    assert edited.candidate.percent is None


def test_one_that_turns_out_bad_loses_its_share(edited: Rolling) -> None:
    bad = op.state(AdapterPhase.FAILED, reason=Reason.INVALID_WEIGHTS, message="NaN")
    edited.says[edited.candidate.key] = bad
    edited.settle()
    assert (edited.candidate.percent, edited.candidate.reason) == (None, Reason.INVALID_WEIGHTS)


def test_an_edit_back_ends_it_at_once(edited: Rolling) -> None:
    edited.edit(on_hub(A), source=hub("a/b"))
    edited.step()
    assert (edited.serving.sha256, edited.status.candidate) == (A, None)


def test_another_edit_begins_anew(edited: Rolling) -> None:
    edited.edit(on_hub(C), source=hub("e/f"))
    edited.step()
    assert (edited.candidate.sha256, edited.candidate.percent) == (C, None)
    edited.settle()
    assert (edited.serving.sha256, edited.candidate.sha256, edited.candidate.percent) == (A, C, 10)
