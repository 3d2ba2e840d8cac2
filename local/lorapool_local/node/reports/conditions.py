"""Conditions and times as the API has them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from lorapool_common.kube.resources import Manifest


def timestamp(moment: datetime) -> str:
    """As RFC 3339 in UTC, to the second: the API's `Time`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def condition(kind: str, status: bool, reason: str = "", message: str = "") -> Manifest:
    """A condition as in a status, without its times."""
    found: Manifest = {"type": kind, "status": "True" if status else "False"}
    if reason:
        found["reason"] = reason
    if message:
        found["message"] = message
    return found


def with_transition_time(wanted: Manifest, old: Mapping[str, Any] | None, now: datetime) -> Manifest:
    """The condition with its `lastTransitionTime`: that of before where its status is the same, else now."""
    same = old is not None and old.get("status") == wanted["status"] and old.get("lastTransitionTime")
    return {**wanted, "lastTransitionTime": old["lastTransitionTime"] if old and same else timestamp(now)}
