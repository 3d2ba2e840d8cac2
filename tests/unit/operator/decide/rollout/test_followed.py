"""A source that is followed: which finds are another version, and what is said of one that cannot be used."""

from typing import Any

import pytest
from tests.unit.operator import make as op
from tests.unit.operator.decide.rollout.rolling import KEY, A, B, Rolling, hub, on_hub

from lorapool_api.kinds.adapter import AdapterFormat
from lorapool_api.kinds.conditions import Reason
from lorapool_operator.decide.versions import is_unmoved
from lorapool_operator.seen.resolution import Resolution, Resolving, Unresolved
from lorapool_operator.seen.verdict import Verdict
from lorapool_operator.sources.from_status import outcome_from_status

FIRST, SECOND = "1" * 40, "2" * 40
BROKEN = Verdict(Reason.NOT_A_LORA, "a whole model")


def etag(value: str | None, **more: Any) -> Resolution:
    return Resolution(file="x.safetensors", tag=value, **more)


@pytest.mark.parametrize(
    ("known", "found", "is_same"),
    [
        (on_hub(A, FIRST), on_hub(A, FIRST), True),
        (on_hub(A, FIRST), on_hub(A, SECOND), True),
        (on_hub(A, FIRST, format=AdapterFormat.PEFT), on_hub(A, SECOND, format=AdapterFormat.PEFT), False),
        (on_hub(A, FIRST, format=AdapterFormat.PEFT), on_hub(A, FIRST, format=AdapterFormat.PEFT), True),
        (on_hub(A, FIRST, alone=True), on_hub(A, SECOND, alone=True), True),
        (on_hub(A, FIRST, alone=True), on_hub(A, SECOND), False),
        (on_hub(A, FIRST), on_hub(A, SECOND, alone=True), True),
        (on_hub(A, FIRST), on_hub(B, FIRST), False),
        (Resolution(file="x", sha256=A), Resolution(file="y", sha256=A), False),
        (etag("1", sha256=A), etag("1"), True),
        (etag("1", sha256=A), etag("2"), False),
        (etag(None), etag(None), True),
        (Resolution(revision="1", sha256=A), Resolution(revision="2"), False),
    ],
)
def test_what_is_another_file(known: Resolution, found: Resolution, *, is_same: bool) -> None:
    assert is_unmoved(known, found) is is_same


@pytest.fixture
def followed() -> Rolling:
    """One that is served from a branch of the Hub."""
    it = Rolling(hub("a/b"), on_hub(A), follow=True)
    it.settle()
    return it


def says(it: Rolling, type_: str) -> tuple[str, str]:
    found = op.condition(it.status.conditions, type_)
    return found.status, found.reason


def test_a_branch_that_moved_rolls_as_an_edit_does(followed: Rolling) -> None:
    followed.outcome = on_hub(B)
    followed.step()
    assert (followed.serving.sha256, followed.candidate.sha256) == (A, B)
    assert says(followed, "Ready") == ("True", "Served")
    followed.settle()
    assert (followed.serving.sha256, followed.serving.generation) == (B, 1)
    assert followed.status.previous is not None
    assert followed.status.previous.sha256 == A
    followed.outcome = on_hub(A)
    followed.step()
    assert (followed.serving.sha256, followed.serving.key) == (A, KEY), "back at once"


@pytest.mark.parametrize("outcome", [Unresolved(BROKEN), Resolving(BROKEN)])
def test_one_that_cannot_be_used_is_said_and_changes_nothing(
    followed: Rolling, outcome: Unresolved | Resolving
) -> None:
    entries = dict(followed.entries)
    followed.outcome = outcome
    followed.settle()
    assert says(followed, "UpToDate") == ("False", "NotALora")
    assert says(followed, "Ready") == ("True", "Served")
    assert (followed.entries, followed.serving.sha256) == (entries, A)
    assert outcome_from_status(followed.adapter) == Resolving(BROKEN), "a restart says no less"
    followed.outcome = on_hub(A)
    followed.settle()
    assert (followed.status.candidate, says(followed, "UpToDate")) == (None, ("True", "UpToDate"))


def test_who_follows_no_more_has_what_is_served(followed: Rolling) -> None:
    followed.outcome = Unresolved(BROKEN)
    followed.settle()
    followed.spec["follow"] = False
    found = outcome_from_status(followed.adapter)
    assert isinstance(found, Resolution)
    assert found.sha256 == A
    followed.outcome = found
    followed.settle()
    assert (followed.status.candidate, says(followed, "UpToDate")) == (None, ("True", "UpToDate"))
