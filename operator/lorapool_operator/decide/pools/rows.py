"""A condition's status with the verdict that says why."""

from lorapool_api.kinds.conditions import Status
from lorapool_operator.seen.verdict import Verdict

Row = tuple[Status, Verdict]


def true(verdict: Verdict) -> Row:
    return "True", verdict


def false(verdict: Verdict) -> Row:
    return "False", verdict
