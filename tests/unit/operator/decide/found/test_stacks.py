"""Stacks are as their members are."""

from typing import Any

import pytest
from tests import make
from tests.unit.operator import make as op

from lorapool_api.kinds.adapter import Adapter, AdapterFormat, AdapterStatus
from lorapool_api.kinds.conditions import AdapterCondition, Reason
from lorapool_api.wire.state import AdapterFileFacts, AdapterPhase
from lorapool_operator.decide.adapters.decisions import AdapterDecisions
from lorapool_operator.decide.adapters.incremental.checked import ChecksInput
from lorapool_operator.seen.observed import Observed

PODS = {"a": op.report(pixel=op.state(), ink=op.state())}


def stack(*names: str, name: str = "comic", **spec: Any) -> Adapter:
    return make.adapter(name, source={"stack": [{"name": n} for n in names]}, **spec)


def snapshot(*adapters: Adapter, **reports: Any) -> Observed:
    return op.seen(*adapters, pool=op.pool(), reports=reports or PODS)


def status(seen: Observed, key: str = "default/comic") -> AdapterStatus:
    return op.statuses(seen)[key]


def decided(made: AdapterStatus) -> tuple[str | None, dict[str, str]]:
    return made.summary, {c.type: c.status for c in made.conditions}


def test_a_stack_is_served_when_all_of_its_members_are() -> None:
    made = status(snapshot(make.adapter("pixel"), make.adapter("ink"), stack("pixel", "ink")))
    assert decided(made) == ("Served", dict.fromkeys(("Accepted", "Resolved", "Compatible", "Ready"), "True"))
    assert made.conditions[-1].message == "all of its members are served: pixel, ink"
    assert (made.pool_name, made.resolved, made.pods) == ("default/shapes", None, None)


def test_pods_are_told_nothing_of_a_stack_and_nobody_looks_for_its_file() -> None:
    seen = snapshot(make.adapter("pixel"), stack("pixel"))
    checked = AdapterDecisions().checked(ChecksInput.of(seen, op.NO_MODULES))
    assert [entry.key for entry in checked.entries] == ["default/pixel"]
    assert list(checked.accepted) == ["default/pixel"]


def test_a_member_that_is_not_served_is_named_with_its_own_reason() -> None:
    loading = op.report(pixel=op.state(), ink=op.state(AdapterPhase.LOADING))
    made = status(snapshot(make.adapter("pixel"), make.adapter("ink"), stack("pixel", "ink"), a=loading))
    assert made.summary == "Loading"
    ready = op.condition(made.conditions, AdapterCondition.READY)
    assert ready.message.startswith("member ink is not served: ")


def test_what_somebody_has_to_mend_is_told_before_what_time_mends() -> None:
    failed = op.state(AdapterPhase.FAILED, reason=Reason.INVALID_WEIGHTS, message="NaN")
    report = op.report(pixel=op.state(AdapterPhase.LOADING), ink=failed)
    made = status(snapshot(make.adapter("pixel"), make.adapter("ink"), stack("pixel", "ink"), a=report))
    assert made.summary == "InvalidWeights"
    assert "member ink is not served (nor are pixel)" in made.conditions[-1].message


def test_a_member_that_goes_takes_the_stack_with_it_and_one_that_comes_brings_it_back() -> None:
    members = (make.adapter("pixel"), make.adapter("ink"))
    going = make.adapter("ink", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})
    decisions = AdapterDecisions()
    for ink, summary in ((members[1:], "Served"), ((going,), "MemberNotFound"), ((), "MemberNotFound")):
        seen = snapshot(members[0], *ink, stack("pixel", "ink"))
        made = op.statuses(seen, decisions)["default/comic"]
        assert made.summary == summary
    resolved = op.condition(made.conditions, AdapterCondition.RESOLVED)
    assert (resolved.status, "no adapter ink" in resolved.message) == ("False", True)
    assert op.statuses(snapshot(*members, stack("pixel", "ink")), decisions)["default/comic"].summary == "Served"


@pytest.mark.parametrize(
    ("names", "says"),
    [(("pixel", "other"), "a stack itself"), (("pixel", "default/pixel"), "are the same adapter")],
)
def test_a_stack_in_a_stack_and_an_adapter_under_two_names_are_refused(names: tuple[str, ...], says: str) -> None:
    made = status(snapshot(make.adapter("pixel"), stack("pixel", name="other"), stack(*names)))
    assert made.summary == "InvalidSpec"
    assert says in op.condition(made.conditions, AdapterCondition.RESOLVED).message


def test_two_members_with_lengths_of_their_own_do_not_go_together() -> None:
    facts = AdapterFileFacts(
        sha256="c" * 64, size_bytes=9, rank=8, targets=3, format=AdapterFormat.PEFT, networks=("dora",)
    )
    report = op.report(pixel=op.state(facts=facts), ink=op.state(facts=facts))
    made = status(snapshot(make.adapter("pixel"), make.adapter("ink"), stack("pixel", "ink"), a=report))
    assert decided(made) == (
        "InvalidSpec",
        {"Accepted": "True", "Resolved": "True", "Compatible": "False", "Ready": "False"},
    )


def test_what_speaks_against_any_adapter_speaks_against_a_stack() -> None:
    assert status(snapshot(make.adapter("pixel"), stack("pixel", suspend=True))).summary == "Suspended"
    taken = snapshot(make.adapter("pixel", age_s=10), stack("pixel", modelIds=["pixel"]))
    assert status(taken).summary == "NameConflict"


def test_a_stack_whose_members_stay_as_they_are_is_written_once() -> None:
    members = (make.adapter("pixel"), make.adapter("ink"))
    first = status(snapshot(*members, stack("pixel", "ink")))
    again = stack("pixel", "ink").model_copy(update={"status": first})
    assert status(snapshot(*members, again)) == first
