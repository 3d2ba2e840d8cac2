"""What pods of a pool have measured, and what that says of those that have not."""

from statistics import median_low

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.gateway.routing.test_costs import COSTS, PIXEL, ROUND, load

from lorapool_api.wire.state import MOST_S, Backlog, ServingCosts, ServingStatus, Tier
from lorapool_common.changes import Changes
from lorapool_gateway.pods.load import Loads
from lorapool_gateway.routing.costs.load import Work
from lorapool_gateway.routing.costs.model import total_s
from lorapool_gateway.routing.costs.settled import SettledCosts, settled
from lorapool_gateway.routing.route import pick_pod

NOTHING = ServingCosts()
honest = st.floats(0.01, 100.0)


def fetched_in(seconds: float | None) -> ServingCosts:
    """A pod that has measured what a fetch takes, or has not."""
    return NOTHING if seconds is None else COSTS.model_copy(update={"load_s": {"disk": 0.0, "remote": seconds}})


def remote_s(costs: ServingCosts) -> float:
    return costs.load_s["remote"]


def test_pods_of_one_kind_of_device_are_equal_whatever_each_has_measured() -> None:
    noisy = COSTS.model_copy(update={"step_s": {"none": 0.3, "unmerged": 0.41, "merged": 0.31}})
    slow = COSTS.model_copy(update={"step_s": {"none": 0.9, "unmerged": 1.2, "merged": 0.9}})
    rows = settled([COSTS, noisy, COSTS, NOTHING, slow])
    assert rows[0] == rows[1] == rows[2] == rows[3] == COSTS
    assert rows[4].step_s == slow.step_s


def test_settled_costs_follow_what_pods_say() -> None:
    costs = SettledCosts()
    assert [pod.costs for pod in costs.of([load("a"), load("b", costs=NOTHING)])] == [COSTS, COSTS]
    faster = COSTS.model_copy(update={"image_s": 0.1})
    assert [pod.costs.image_s for pod in costs.of([load("a", costs=faster), load("b", costs=faster)])] == [0.1, 0.1]
    assert costs.of([]) == []


@pytest.mark.parametrize("rest_s", [{}, {"step_s": {"unmerged": 0.3}}])
def test_a_pod_that_has_fetched_nothing_is_judged_by_what_a_fetch_takes_in_others(rest_s: dict[str, object]) -> None:
    def picked(measured_s: float | None) -> str:
        busy = load("busy", wait_s=2.0, active=ROUND, costs=fetched_in(measured_s))
        cold = load("cold", tier=Tier.REMOTE, active=ROUND, costs=ServingCosts.model_validate(rest_s))
        found = pick_pod(SettledCosts().of([busy, cold]), Work(PIXEL))
        assert found is not None
        return found.pod.name

    assert (picked(1.2), picked(None)) == ("cold", "busy")


def test_a_fetch_that_no_pod_has_measured_is_assumed_and_ends_on_the_disk() -> None:
    def ahead_s(costs: ServingCosts) -> float:
        (cold,) = SettledCosts().of([load("a", tier=Tier.REMOTE, costs=costs)])
        (near,) = SettledCosts().of([load("a", costs=costs)])
        return total_s(cold, Work(PIXEL)) - total_s(near, Work(PIXEL))

    assert ahead_s(NOTHING) == pytest.approx(5.0 + 0.15)
    assert ahead_s(COSTS) == pytest.approx(9.0 + 0.5)


def test_a_name_that_one_pod_has_made_up_counts_for_itself_alone() -> None:
    liar = COSTS.model_copy(update={"step_s": {"wishful": 0.0}})
    ours, own = settled([COSTS, liar])
    assert (ours.step_s, own.step_s["wishful"]) == (COSTS.step_s, 0.0)


def test_a_pod_that_says_the_most_there_is_keeps_nobody_from_the_others() -> None:
    most = dict.fromkeys(("none", "unmerged"), MOST_S)
    endless = ServingCosts(step_s=most, image_s=MOST_S, switch_s=most, load_s={"remote": MOST_S})
    loads, (broken, whole) = Loads(Changes()), (load(name).pod for name in ("broken", "whole"))
    known = ServingStatus(instance="i", digest="d", ready=True, pending=0, running=0, max_pending=4)
    loads.update(whole, known)
    loads.update(broken, known.model_copy(update={"costs": endless, "backlog": Backlog(work_s=MOST_S)}))
    with loads.request(broken):
        found = pick_pod(loads.of_pods([broken, whole]), Work(PIXEL))
    assert found is not None
    assert found.pod is whole


@given(st.lists(st.none() | st.floats(0, 1e9), min_size=1, max_size=8))
def test_a_pods_own_word_comes_first_then_that_of_its_pool_then_none(said: list[float | None]) -> None:
    known = [seconds for seconds in said if seconds is not None]
    for own_s, costs in zip(said, settled([fetched_in(seconds) for seconds in said]), strict=True):
        if own_s is not None:
            assert abs(remote_s(costs) - own_s) <= 0.25 * median_low(known)
        elif known:
            assert remote_s(costs) == median_low(known)
        else:
            assert costs == NOTHING


@given(st.lists(honest, min_size=2, max_size=8), st.floats(0, 1e9))
def test_one_that_lies_among_three_or_more_moves_others_no_further_than_to_an_honest_value(
    honest_s: list[float], lie_s: float
) -> None:
    *others, fresh, _ = settled([*map(fetched_in, honest_s), NOTHING, fetched_in(lie_s)])
    assert min(honest_s) <= remote_s(fresh) <= max(honest_s)
    ranked = sorted(honest_s)
    place = (len(ranked) - 1) // 2
    assert ranked[max(0, place - 1)] <= remote_s(fresh) <= ranked[min(len(ranked) - 1, place + 1)]
    assert all(
        abs(remote_s(costs) - own_s) <= 0.25 * max(honest_s) for costs, own_s in zip(others, honest_s, strict=True)
    )
