"""Which pods go."""

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.operator import make as made

from lorapool_api.wire.state import AdapterPhase
from lorapool_operator.decide.scaling.removals import FIRST_TO_GO, PodUse, deletion_costs, first_to_go
from lorapool_operator.seen.observed import Observed

READY = made.state()


def use(name: str, requests: int = 0, holds: str = "", *, is_ready: bool = True) -> PodUse:
    """Adapters by one letter each."""
    return PodUse(name, is_ready, requests, frozenset(holds))


@pytest.mark.parametrize(
    ("pods", "goes"),
    [
        ((use("a", 2), use("b", 0), use("c", 1)), "b"),
        ((use("a", 0, "xy"), use("b", 0, "xyz"), use("c", 0, "yz")), "a"),
        ((use("a", 0, "pq"), use("b", 0, "r"), use("c", 0, "p")), "c"),
        ((use("a", 0, "x"), use("b", 3, "", is_ready=False)), "b"),
        ((use("b"), use("a")), "a"),
    ],
    ids=[
        "the idlest",
        "what others hold too",
        "fewest that only it holds",
        "one that takes no requests",
        "a name decides",
    ],
)
def test_of_several_pods_goes(pods: tuple[PodUse, ...], goes: str) -> None:
    assert first_to_go(pods, 1) == {goes}


def test_two_that_hold_the_same_do_not_both_go_where_another_choice_loses_nothing() -> None:
    pods = (use("a", 0, "x"), use("b", 0, "x"), use("c", 0, "yz"), use("d", 0, "yz"), use("e", 0, ""))
    gone = first_to_go(pods, 3)
    assert "e" in gone
    assert len(gone & {"a", "b"}) == len(gone & {"c", "d"}) == 1


def test_all_may_go() -> None:
    assert first_to_go((use("a"), use("b")), 5) == {"a", "b"}


def scaled_down(replicas: int, **pods: dict[str, Any]) -> Observed:
    """A pool of these pods that shall have fewer; what a pod says stands with its fields."""
    snapshot = made.seen(
        pool=made.pool(replicas=replicas),
        reports={name: made.report(**fields.get("holds", {})) for name, fields in pods.items()},
        deployment=made.deployment(replicas=len(pods)),
    )
    return replace(
        snapshot,
        pods=tuple(made.pod(name, **_of_view(fields)) for name, fields in pods.items()),
        requests={f"uid-{name}": fields["requests"] for name, fields in pods.items() if "requests" in fields},
    )


def _of_view(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in ("requests", "holds")}


def costs(snapshot: Observed) -> dict[str, str | None]:
    return {wanted.pod.name: wanted.cost for wanted in deletion_costs(snapshot)}


def test_the_pods_that_go_are_marked_before_they_do() -> None:
    assert costs(scaled_down(1, a={"requests": 1}, b={}, c={})) == {"b": FIRST_TO_GO, "c": FIRST_TO_GO}


def test_what_pods_hold_is_what_they_say_is_ready() -> None:
    loading = made.state(AdapterPhase.DOWNLOADING)
    pixel, ink = {"holds": {"pixel": READY}}, {"holds": {"ink": READY, "pixel": READY}}
    assert costs(scaled_down(2, a=pixel, b=ink, c={"holds": {"ink": loading, "crescent": READY}})) == {"a": FIRST_TO_GO}


def test_a_mark_of_a_time_before_is_taken_off_and_others_are_left() -> None:
    snapshot = scaled_down(
        2, a={"requests": 3, "deletion_cost": FIRST_TO_GO}, b={"deletion_cost": "100", "requests": 1}, c={}
    )
    assert costs(snapshot) == {"a": None, "c": FIRST_TO_GO}


def test_who_is_marked_already_is_not_written_again() -> None:
    assert costs(scaled_down(1, a={"requests": 1}, b={"deletion_cost": FIRST_TO_GO})) == {}


@pytest.mark.parametrize("replicas", [0, 2, 3])
def test_nothing_is_marked_where_none_or_all_go(replicas: int) -> None:
    assert costs(scaled_down(replicas, a={}, b={})) == {}
