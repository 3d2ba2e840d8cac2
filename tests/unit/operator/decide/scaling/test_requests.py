"""What gateways say, put together."""

from typing import Any

from lorapool_api.wire.gateways.demand import GatewayDemand, PodRequests, PoolDemand
from lorapool_operator.decide.scaling.requests import PoolRequests, pool_requests, requests_of_pod

POOL = "default/shapes"


def said(waiting: int = 0, running: int = 0, pool: str = POOL, **pods: tuple[int, int]) -> GatewayDemand:
    """One gateway's words; of pods by their uids: (pending, running)."""
    demand = PoolDemand(waiting=waiting, running=running, demand=waiting + running)
    return GatewayDemand(
        pools={pool: demand}, pods={uid: PodRequests(pending=p, running=r) for uid, (p, r) in pods.items()}
    )


def count(*answers: GatewayDemand, pods: Any = ("a", "b")) -> int:
    return pool_requests(answers, POOL, pods, all_answered=True).count


def test_the_requests_of_all_gateways_count() -> None:
    assert count(said(2, 1), said(0, 3), said(9, 9, "default/other")) == 6


def test_a_request_that_gateway_and_pod_tell_of_is_one() -> None:
    assert count(said(1, 3, a=(2, 1)), said(0, 0, a=(2, 1))) == 4


def test_requests_that_came_to_pods_by_no_gateway_count_too() -> None:
    assert count(said(1, 1, a=(4, 1), b=(0, 1))) == 7


def test_pods_of_another_pool_do_not_count() -> None:
    assert count(said(0, 0, a=(4, 1)), pods=("b",)) == 0


def test_who_has_asked_a_pod_last_may_be_any_of_them() -> None:
    answers = (said(a=(0, 1)), said(a=(3, 1)), said())
    assert requests_of_pod(answers, "a") == 4
    assert requests_of_pod(answers, "nobody") == 0


def test_a_silence_is_told_with_what_is_known() -> None:
    assert pool_requests([said(2)], POOL, (), all_answered=False) == PoolRequests(2, is_complete=False)
