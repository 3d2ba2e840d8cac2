"""Whatever a condition says, there is something to do about it."""

import pytest

from lorapool_api.kinds.conditions import Reason, Remedy
from lorapool_local.doctor.advice import advice, level_of
from lorapool_local.doctor.diagnosis import Severity


@pytest.mark.parametrize("reason", [r for r in Reason if r.traits.needs_somebody])
def test_what_somebody_must_mend_has_advice_of_its_own(reason: Reason) -> None:
    assert level_of(reason) is Severity.ERROR
    assert not advice(reason).startswith(("nothing", "the message says what was found"))


def test_what_passes_by_itself_is_no_error() -> None:
    assert {level_of(r) for r in Reason if r.traits.remedy is Remedy.TIME} == {Severity.WAIT}


def test_a_reason_of_a_newer_version_leads_to_its_message() -> None:
    assert advice("SomethingNew") == "the message says what was found"
    assert level_of("SomethingNew") is Severity.ERROR
