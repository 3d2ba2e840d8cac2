"""What the adapters of another namespace may take of a pool."""

from typing import Any

import pytest
from tests import make
from tests.unit.operator import make as op

from lorapool_api.kinds.adapter import Adapter, AdapterVersion
from lorapool_api.kinds.conditions import AdapterCondition, Reason
from lorapool_api.kinds.sources import AdapterSource
from lorapool_operator.seen.resolution import Resolution

HERE = {"name": "shapes", "namespace": "default"}


def quota(**most: Any) -> Any:
    return op.pool(adapters={"namespaces": {"from": "All"}, "perNamespace": most})


def guest(name: str, age_s: float = 0, namespace: str = "team", **spec: Any) -> Adapter:
    return make.adapter(name, namespace, age_s=age_s, poolRef=HERE, **spec)


def refused(*adapters: Adapter, pool: Any, sizes: dict[str, int] | None = None) -> dict[str, str]:
    """Condition that is not met for the quota, by name."""
    outcomes = {a.key: Resolution(size_bytes=(sizes or {}).get(a.metadata.name)) for a in adapters}
    snapshot = op.seen(*adapters, pool=pool, outcomes=outcomes)
    found = {a.metadata.name: op.finding(snapshot, a) for a in adapters}
    return {n: f.condition.value for n, f in found.items() if f and f.verdict.reason is Reason.QUOTA_EXCEEDED}


def test_the_oldest_keep_their_place_and_other_namespaces_have_their_own() -> None:
    adapters = (guest("c", 1), guest("b", 2), guest("a", 3), guest("d", 0, "others"))
    assert refused(*adapters, pool=quota(count=2)) == {"c": "Accepted"}


def test_the_pools_own_namespace_has_no_quota() -> None:
    assert not refused(make.adapter("a"), make.adapter("b"), pool=quota(count=0, pins=0, bytes="0"))
    assert refused(guest("a"), pool=quota(count=0)) == {"a": "Accepted"}


def test_pins_are_counted_apart() -> None:
    adapters = (guest("a", 3, pin=True), guest("b", 2, pin=True), guest("c", 1))
    assert refused(*adapters, pool=quota(pins=1)) == {"b": "Accepted"}


def test_a_file_that_does_not_fit_takes_no_room_from_one_that_does() -> None:
    sizes = {"a": 600, "b": 500, "c": 400}
    adapters = (guest("a", 3), guest("b", 2), guest("c", 1))
    assert refused(*adapters, pool=quota(bytes="1K"), sizes=sizes) == {"b": "Resolved"}


def test_what_nobody_knows_the_size_of_may_come_in_and_what_is_suspended_takes_none() -> None:
    assert not refused(guest("a", 2), guest("b", 1), pool=quota(bytes="1K"), sizes={"b": 1000})
    suspended = guest("a", 2, suspend=True)
    assert not refused(suspended, guest("b", 1), pool=quota(bytes="1K"), sizes={"a": 900, "b": 900})


def test_an_edit_that_is_too_large_takes_the_served_version_from_nobody() -> None:
    served = AdapterVersion(
        source=AdapterSource(path="/adapters/old.safetensors"), size_bytes=100, generation=1, sha256="a" * 64, key="old"
    )
    adapter = guest("a")
    adapter = adapter.model_copy(update={"status": adapter.status.model_copy(update={"serving": served})})
    found = Resolution(size_bytes=2000)
    result = op.checked(op.seen(adapter, pool=quota(bytes="1K"), outcome=found))[adapter.key]
    assert result.finding is None
    assert result.candidate is not None
    assert result.candidate.finding is not None
    assert result.candidate.finding.verdict.reason is Reason.QUOTA_EXCEEDED


@pytest.mark.parametrize(
    ("most", "words"),
    [
        ({"count": 0}, "at most 0 adapters of namespace team (spec.adapters.perNamespace.count)"),
        ({"pins": 0}, "at most 0 pins of namespace team (spec.adapters.perNamespace.pins)"),
        ({"bytes": "1K"}, "the file has 2.0 KiB; 1000 bytes are left of the 1K for namespace team"),
    ],
)
def test_the_condition_says_what_is_left_and_who_can_give_more(most: dict[str, Any], words: str) -> None:
    snapshot = op.seen(guest("a", pin=True), pool=quota(**most), outcome=Resolution(size_bytes=2048))
    status = op.statuses(snapshot)["team/a"]
    assert status.summary == Reason.QUOTA_EXCEEDED
    type_ = AdapterCondition.RESOLVED if "bytes" in most else AdapterCondition.ACCEPTED
    message = op.condition(status.conditions, type_).message
    assert words in message
    assert "ask the pool's owner for more" in message
