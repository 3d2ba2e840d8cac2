"""Adapters that are out of service for a while, by `suspend` for example, and what is left of their versions."""

import pytest
from tests.unit.operator.decide.rollout.rolling import KEY, A, Rolling, condition, hub, on_hub

from lorapool_api.kinds.conditions import Reason
from lorapool_operator.seen.resolution import Unresolved
from lorapool_operator.seen.verdict import Verdict


def test_what_was_suspended_is_served_again_though_an_edit_meanwhile_cannot_be(served: Rolling) -> None:
    """What the status said of a suspended one was read as a misfit of its file, which held for ever."""
    served.edit(on_hub(A), suspend=True)
    served.settle()
    assert condition(served, "Ready") == ("False", "Suspended")
    served.edit(Unresolved(Verdict(Reason.NOT_A_LORA, "a whole model")), suspend=False, source=hub("c/d"))
    served.settle()
    assert condition(served, "Ready") == ("True", "Served")
    assert condition(served, "Compatible") == ("True", "Compatible")
    assert condition(served, "UpToDate") == ("False", "NotALora")


@pytest.mark.parametrize("reason", [Reason.SUSPENDED, Reason.WAITING_FOR_PODS])
def test_what_a_status_says_of_its_fit_for_another_reason_ends(served: Rolling, reason: Reason) -> None:
    """As it was left by an older operator, or by a time without a base to check by."""
    served.edit(Unresolved(Verdict(Reason.NOT_A_LORA, "a whole model")), source=hub("c/d"))
    served.settle()
    wrong = {"status": "False", "reason": reason, "message": "it was so"}
    conditions = (
        c.model_copy(update=wrong) if c.type in ("Compatible", "Ready") else c for c in served.status.conditions
    )
    served.status = served.status.model_copy(update={"conditions": tuple(conditions)})
    served.settle()
    assert condition(served, "Ready") == ("True", "Served")


def test_what_is_suspended_and_resumed_is_the_same_version_with_all_that_is_known_of_it(served: Rolling) -> None:
    """It lost its file and commit with that, and no pass over its pool came to an end after it was resumed."""
    before = served.status
    served.edit(on_hub(A), suspend=True)
    served.settle()
    assert served.status.resolved == before.resolved
    assert served.serving.model_copy(update={"generation": 1}) == before.serving
    served.edit(on_hub(A), suspend=False)
    served.settle()
    assert condition(served, "Ready") == ("True", "Served")
    assert (served.serving.key, served.serving.revision, served.status.candidate) == (KEY, A[:40], None)


def test_a_version_whose_file_is_not_known_any_more_is_replaced_by_the_one_that_is_asked_for(served: Rolling) -> None:
    """As an older operator left it after a suspension."""
    lost = served.serving.model_copy(update={"revision": None, "file": None})
    served.status = served.status.model_copy(update={"serving": lost})
    served.settle()
    assert condition(served, "Ready") == ("True", "Served")
    assert (served.serving.sha256, served.serving.revision, served.status.candidate) == (A, A[:40], None)
