"""What a request costs in a pod, and which pod that makes the best one."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorapool_api.kinds.serving import Serving
from lorapool_api.wire.request import AdapterUse, GenerateRequest, HiresPass
from lorapool_api.wire.state import ServingCosts, Tier
from lorapool_gateway.cluster.snapshot import RuntimePod
from lorapool_gateway.routing.costs.load import PodLoad, PodTurns, Work, work_of
from lorapool_gateway.routing.costs.model import expected_wait_s, shortest_wait_s, total_s
from lorapool_gateway.routing.route import pick_pod

PIXEL, ROUND = ("default/pixel",), ("default/round",)
COSTS = ServingCosts(
    step_s={"none": 0.3, "unmerged": 0.4, "merged": 0.3},
    image_s=0.5,
    switch_s={"none": 0.01, "unmerged": 0.02, "merged": 1.0},
    load_s={"host": 0.1, "disk": 0.5, "remote": 9.0},
)


def load(name: str, wait_s: float = 0.0, tier: Tier = Tier.DEVICE, **known: object) -> PodLoad:
    pod = RuntimePod(name, name, "default/shapes", name)
    plain = PodLoad(pod, dict.fromkeys((*PIXEL, *ROUND), tier), 0, is_full=False, wait_s=wait_s, costs=COSTS)
    return replace(plain, **known)  # type: ignore[arg-type]


def picked(*loads: PodLoad) -> str:
    found = pick_pod(loads, Work(PIXEL))
    assert found is not None
    return found.pod.name


def test_the_wait_is_that_of_the_queue() -> None:
    pod = load("a", wait_s=20.0, active=ROUND)
    assert expected_wait_s(pod) == 20.0
    assert shortest_wait_s([pod, load("b", wait_s=12.0)]) == 12.0
    assert shortest_wait_s([]) is None


def test_a_caller_goes_where_its_turn_comes_first_and_who_floods_where_least_waits() -> None:
    flooded = load("a", wait_s=80.0, turns=PodTurns(2.0, {"many": 80.0}))
    shared = load("b", wait_s=40.0, turns=PodTurns(16.0, {"many": 40.0}))
    found = {caller: pick_pod([flooded, shared], Work(PIXEL, caller=caller)) for caller in ("many", "new")}
    assert (found["many"], found["new"]) == (shared, flooded)
    assert shortest_wait_s([flooded, shared], "new") == 2.0


def test_of_pods_where_a_callers_turn_is_as_soon_the_one_with_less_work_is_better() -> None:
    turns = PodTurns(0.0, {"many": 80.0})
    assert picked(load("a", wait_s=80.0, turns=turns), load("b", wait_s=40.0, turns=turns)) == "b"
    assert picked(load("a", wait_s=40.0, turns=turns), load("b", wait_s=80.0, turns=turns)) == "a"


def test_nobodys_turn_is_later_than_the_end_of_all_work() -> None:
    assert expected_wait_s(load("a", wait_s=5.0, turns=PodTurns(9.0, {})), "new") == 5.0


def test_a_pod_that_does_not_say_how_much_work_it_has_is_judged_by_the_number_of_its_requests() -> None:
    older = replace(load("a"), wait_s=None, queue=2, costs=ServingCosts())
    assert expected_wait_s(older) == pytest.approx(2 * 8.5)


def test_an_adapter_is_loaded_while_others_are_made() -> None:
    cold, busy = load("a", tier=Tier.DISK), load("a", wait_s=3.0, tier=Tier.DISK)
    near = load("a", wait_s=3.0)
    assert total_s(cold, Work(PIXEL)) - total_s(load("a"), Work(PIXEL)) == pytest.approx(0.5)
    assert total_s(busy, Work(PIXEL)) == pytest.approx(total_s(near, Work(PIXEL)))


def test_a_stack_is_merged_where_its_steps_save_more_than_the_merge_takes() -> None:
    pod = load("a", active=ROUND)
    few, many = Work(PIXEL, steps=4), Work(PIXEL, steps=25)
    assert total_s(pod, few) == pytest.approx(0.02 + 4 * 0.4 + 0.5)
    assert total_s(pod, many) == pytest.approx(1.0 + 25 * 0.3 + 0.5)


def test_an_adapter_that_many_want_spreads_when_its_queue_costs_more_than_one_more_load() -> None:
    far = load("b", tier=Tier.REMOTE, active=ROUND)
    assert picked(load("a", wait_s=9.0, active=PIXEL), far) == "a"
    assert picked(load("a", wait_s=11.0, active=PIXEL), far) == "b"


def test_of_an_adapter_that_a_pod_has_no_file_of_it_says_nothing_and_can_serve_it_all_the_same() -> None:
    without = load("b", tiers={})
    assert total_s(without, Work(PIXEL)) == pytest.approx(total_s(load("b", tier=Tier.REMOTE), Work(PIXEL)))


def test_a_pod_that_would_drive_out_what_others_want_comes_after_one_with_room() -> None:
    full = load("a", tier=Tier.HOST, costs=COSTS.model_copy(update={"evict_s": 0.3}))
    assert {picked(full, load(name, tier=Tier.HOST)) for name in "bcdefg"} == set("bcdefg")
    assert total_s(replace(full, tiers=dict.fromkeys(PIXEL, Tier.DEVICE)), Work(PIXEL)) == total_s(
        load("a"), Work(PIXEL)
    )


def test_what_is_known_of_a_pod_that_is_silent_counts_the_less_the_older_it_is() -> None:
    silent = load("a", age_s=1.1)
    assert silent.is_stale
    assert picked(silent, load("b", wait_s=0.9)) == "b"
    assert picked(silent, load("b", wait_s=1.1)) == "a"


def test_the_work_is_what_a_request_says_or_the_pools_defaults() -> None:
    serving = Serving.model_validate({"defaults": {"steps": 10, "width": 1024, "height": 512}})
    plain = GenerateRequest(prompt="a", adapters=(AdapterUse(key="default/pixel"),))
    assert work_of(plain, serving) == Work(PIXEL, 5.0, 1)
    assert work_of(plain.model_copy(update={"images": 2, "height": 1024}), serving) == Work(PIXEL, 20.0, 2)
    assert work_of(plain.model_copy(update={"image": "a", "strength": 0.5}), serving).steps == 2.5
    assert work_of(plain.model_copy(update={"hires": HiresPass(strength=0.5)}), serving).steps == 5.0 + 10 * 0.5 * 2


@given(
    waits=st.lists(st.floats(0, 1e6), min_size=2, max_size=8),
    tiers=st.lists(st.sampled_from(Tier), min_size=8, max_size=8),
    steps=st.floats(0, 1e6),
)
def test_more_work_in_a_pod_never_draws_a_request_to_it(waits: list[float], tiers: list[Tier], steps: float) -> None:
    pods = [load(str(i), wait_s, tier) for i, (wait_s, tier) in enumerate(zip(waits, tiers, strict=False))]
    work = Work(PIXEL, steps)
    first = pick_pod(pods, work)
    assert first is not None
    others = [pod for pod in pods if pod is not first]
    busier = [replace(pod, wait_s=(pod.wait_s or 0) + 100) for pod in others]
    assert pick_pod([first, *busier], work) == first
