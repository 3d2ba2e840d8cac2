"""Edits of an adapter: what is served, what is to be, and what pods are told of both."""

import pytest
from tests.unit.operator import make as op
from tests.unit.operator.decide.rollout.rolling import KEY, A, B, C, Rolling, condition, facts, hub, loading, on_hub

from lorapool_api.kinds.conditions import Reason
from lorapool_api.wire.sources.basic import UrlFile
from lorapool_api.wire.state import AdapterPhase
from lorapool_operator.seen.resolution import Resolution, Resolving, Unresolved
from lorapool_operator.seen.verdict import Verdict

URL = {"url": "https://files.example.org/x.safetensors"}


def test_the_first_version_has_the_adapters_own_key_and_is_served_when_a_pod_has_it() -> None:
    it = Rolling(hub("a/b"), Resolving())
    assert it.step().serving is None
    it.outcome, it.says[KEY] = on_hub(A), loading()
    it.step()
    assert it.step().serving is None
    assert list(it.entries) == [KEY]
    it.says.clear()
    it.settle()
    assert (it.serving.key, it.serving.sha256, it.serving.revision) == (KEY, A, A[:40])
    assert it.status.candidate is None
    assert condition(it, "UpToDate") == ("True", "UpToDate")


def test_an_edited_source_is_brought_beside_the_served_one_and_takes_over_when_it_is_verified(served: Rolling) -> None:
    served.edit(Resolving(), source=hub("c/d"))
    served.step()
    assert condition(served, "Ready") == ("True", "Served")
    assert condition(served, "UpToDate") == ("False", "Resolving")
    served.outcome = on_hub(B)
    served.step()
    (rival,) = set(served.entries) - {KEY}
    assert served.entries[KEY].sha256 == A
    assert served.entries[rival].sha256 == B
    served.says[rival] = loading()
    served.step()
    assert (served.serving.sha256, served.candidate.key, served.candidate.sha256) == (A, rival, B)
    assert served.status.resolved is not None
    assert served.status.resolved.sha256 == A
    served.says.clear()
    served.step()
    assert (served.serving.key, served.serving.sha256) == (rival, B)
    assert served.status.resolved is not None
    assert served.status.resolved.sha256 == B
    assert served.status.candidate is None
    assert condition(served, "Ready") == ("True", "Served")
    served.settle()
    assert served.status.previous is not None
    assert (served.status.previous.key, served.status.previous.sha256) == (KEY, A)
    assert set(served.entries) == {KEY, rival}, "requests that are on their way find the version of before"


def test_it_waits_for_the_other_copies_but_not_for_ever(served: Rolling) -> None:
    served.edit(on_hub(B), source=hub("c/d"))
    served.step()
    (rival,) = set(served.entries) - {KEY}
    served.says[f"b {rival}"] = loading()
    served.step()
    assert served.serving.sha256 == A
    assert served.candidate.verified_time == op.at(0)
    assert served.candidate.message == "1 of 2 copies are on the pods' disks, checked"
    served.now_s = 59.0
    served.step()
    assert served.serving.sha256 == A
    served.now_s = 60.0
    served.step()
    assert served.serving.sha256 == B


def test_a_pod_that_cannot_have_its_copy_is_not_waited_for(served: Rolling) -> None:
    served.edit(on_hub(B), source=hub("c/d"))
    served.step()
    (rival,) = set(served.entries) - {KEY}
    served.says[f"b {rival}"] = op.state(AdapterPhase.FAILED, reason=Reason.POD_FAILED, message="disk full")
    served.step()
    assert served.serving.sha256 == B


@pytest.mark.parametrize(
    "verdict",
    [
        Verdict(Reason.NOT_A_LORA, "a whole model"),
        Verdict(Reason.SOURCE_NOT_FOUND, "no such file"),
        Verdict(Reason.SOURCE_UNAVAILABLE, "503"),
    ],
)
def test_one_that_turns_out_bad_never_takes_over_and_says_why(served: Rolling, verdict: Verdict) -> None:
    served.edit(Unresolved(verdict), source=hub("c/d"))
    served.settle()
    assert served.serving.sha256 == A
    assert condition(served, "Ready") == ("True", "Served")
    assert condition(served, "UpToDate") == ("False", verdict.reason)
    assert (served.candidate.reason, served.candidate.message) == (verdict.reason, verdict.message)
    assert served.status.summary == verdict.reason
    assert set(served.entries) == {KEY}


def test_one_that_pods_refuse_never_takes_over(served: Rolling) -> None:
    served.edit(on_hub(B), source=hub("c/d"))
    served.step()
    (rival,) = set(served.entries) - {KEY}
    served.says[rival] = op.state(AdapterPhase.FAILED, reason=Reason.INVALID_WEIGHTS, message="NaN")
    served.settle()
    assert served.serving.sha256 == A
    assert served.candidate.reason == Reason.INVALID_WEIGHTS
    assert condition(served, "UpToDate") == ("False", "InvalidWeights")


def test_a_pin_that_the_file_does_not_have_leaves_the_served_one_alone(served: Rolling) -> None:
    served.edit(on_hub(A), sha256=B)
    served.settle()
    assert (served.serving.sha256, served.candidate.reason) == (A, Reason.CHECKSUM_MISMATCH)
    assert set(served.entries) == {KEY}
    served.edit(on_hub(B), sha256=B)
    served.settle()
    assert served.serving.sha256 == B


def test_an_edit_back_takes_effect_at_once(served: Rolling) -> None:
    served.edit(on_hub(B), source=hub("c/d"))
    served.settle()
    assert served.serving.sha256 == B
    served.edit(on_hub(A), source=hub("a/b"))
    served.step()
    assert (served.serving.key, served.serving.sha256) == (KEY, A)
    assert served.status.previous is not None
    assert served.status.previous.sha256 == B


def test_an_edit_back_before_the_takeover_drops_the_candidate(served: Rolling) -> None:
    served.edit(on_hub(B), source=hub("c/d"))
    served.step()
    (rival,) = set(served.entries) - {KEY}
    served.says[rival] = loading()
    served.settle()
    served.edit(on_hub(A), source=hub("a/b"))
    served.step()
    assert served.status.candidate is None
    assert set(served.entries) == {KEY}
    assert condition(served, "UpToDate") == ("True", "UpToDate")


def test_a_third_version_replaces_the_candidate(served: Rolling) -> None:
    served.edit(on_hub(B), source=hub("c/d"))
    served.step()
    (second,) = set(served.entries) - {KEY}
    served.says[second] = loading()
    served.settle()
    served.edit(on_hub(C), source=hub("e/f"))
    served.step()
    assert served.serving.sha256 == A
    (third,) = set(served.entries) - {KEY}
    assert third != second
    served.settle()
    assert served.serving.sha256 == C
    assert served.status.previous is not None
    assert served.status.previous.sha256 == A


def test_pods_that_go_in_the_middle_do_not_end_it(served: Rolling) -> None:
    served.edit(on_hub(B), source=hub("c/d"))
    served.step()
    served.pods = ()
    served.step()
    assert served.serving.sha256 == A
    assert served.candidate.reason == Reason.WAITING_FOR_PODS
    served.pods = ("c", "d")
    served.settle()
    assert served.serving.sha256 == B


@pytest.mark.parametrize("spec", [{"triggerWords": ["x"]}, {"scale": 0.5}, {"source": hub("a/b", "a" * 40)}])
def test_an_edit_of_anything_else_moves_nothing(served: Rolling, spec: dict[str, object]) -> None:
    """Not even a branch that is written as the commit that it was at."""
    before = served.entries[KEY]
    served.edit(on_hub(A), **spec)
    served.step()
    assert served.status.candidate is None
    after = served.entries[KEY]
    assert (after.source, after.sha256, after.generation) == (before.source, before.sha256, before.generation)


def test_an_address_is_pinned_to_what_pods_found_there() -> None:
    found = Resolution(size_bytes=9, file="x.safetensors", tag='"1"', rank=4)
    it = Rolling(URL, found)
    it.step()
    assert it.entries[KEY].sha256 is None
    it.says[KEY] = op.state(facts=facts(A))
    it.settle()
    assert it.entries[KEY].sha256 == A
    it.says["b default/pixel"] = op.state(facts=facts(B))
    it.edit(found, triggerWords=["x"])
    it.settle()
    assert (it.serving.sha256, it.entries[KEY].sha256) == (A, A)


def test_a_new_look_that_finds_the_same_changes_nothing() -> None:
    it = Rolling(URL, Resolution(size_bytes=9, rank=4))
    it.says[KEY] = op.state(facts=facts(A))
    it.settle()
    it.refresh, it.outcome = "today", Resolution(size_bytes=9, rank=4, refresh="today")
    it.step()
    (rival,) = set(it.entries) - {KEY}
    source = it.entries[rival].source
    assert isinstance(source, UrlFile)
    assert source.content == rival.partition("@")[2], "pods ask the address again"
    it.says[rival] = op.state(facts=facts(A))
    it.settle()
    assert (it.serving.key, it.serving.refresh, it.status.candidate) == (KEY, "today", None)
    assert set(it.entries) == {KEY}


def test_a_new_look_that_finds_something_else_rolls() -> None:
    it = Rolling(URL, Resolution(size_bytes=9, rank=4, tag='"1"'))
    it.says[KEY] = op.state(facts=facts(A))
    it.settle()
    it.outcome = Resolution(size_bytes=9, rank=4, tag='"2"', refresh="today")
    it.refresh = "today"
    it.step()
    (rival,) = set(it.entries) - {KEY}
    it.says[rival] = op.state(facts=facts(B))
    it.settle()
    assert (it.serving.key, it.serving.sha256, it.serving.tag) == (rival, B, '"2"')
    assert it.status.previous is not None
    assert it.status.previous.sha256 == A


def test_a_source_that_is_not_allowed_any_more_can_be_edited_away() -> None:
    it = Rolling(URL, Resolution(size_bytes=9, rank=4))
    it.settle()
    it.spec["source"] = {"url": "https://elsewhere.example.com/x.safetensors"}
    it.generation = 2
    it.settle()
    assert it.candidate.reason == Reason.SOURCE_FORBIDDEN
    assert condition(it, "Ready") == ("True", "Served")


def test_a_version_is_not_pinned_to_the_device_when_it_is_served_no_more(served: Rolling) -> None:
    served.edit(on_hub(B), source=hub("c/d"), pin=True)
    served.settle()
    served.step()
    assert [entry.pin for key, entry in sorted(served.entries.items())] == [False, True]
