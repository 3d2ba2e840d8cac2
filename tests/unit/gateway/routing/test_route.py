"""Which pod gets a request."""

from dataclasses import replace

from lorapool_api.wire.state import Tier
from lorapool_gateway.cluster.snapshot import RuntimePod
from lorapool_gateway.routing.costs.load import PodLoad, Work
from lorapool_gateway.routing.route import pick_pod

KEY = "default/pixel"


def load(name: str, queue: int = 0, tier: Tier | None = None, *, is_full: bool = False) -> PodLoad:
    return PodLoad(RuntimePod(name, name, "default/shapes", name), {KEY: tier} if tier else {}, queue, is_full)


def picked(*loads: PodLoad, adapters: tuple[str, ...] = (KEY,), avoid: tuple[str, ...] = ()) -> str:
    found = pick_pod(loads, Work(adapters), avoid)
    assert found is not None
    return found.pod.name


def test_the_pod_whose_device_has_the_adapter_is_first() -> None:
    assert picked(load("a", tier=Tier.DISK), load("b", tier=Tier.DEVICE), load("c", tier=Tier.HOST)) == "b"


def test_a_long_queue_outweighs_a_short_way() -> None:
    assert picked(load("a", queue=3, tier=Tier.DEVICE), load("b", tier=Tier.DISK)) == "b"


def test_a_pod_that_has_no_file_of_the_adapter_comes_after_a_short_queue_and_before_a_long_one() -> None:
    assert picked(load("a"), load("b", tier=Tier.DISK)) == "b"
    assert picked(load("a"), load("b", queue=5, tier=Tier.DISK)) == "a"
    assert picked(load("a")) == "a"


def test_the_farthest_adapter_of_a_stack_decides() -> None:
    near = PodLoad(RuntimePod("a", "a", "p", "a"), {"x": Tier.DEVICE, "y": Tier.REMOTE}, 0, False)
    far = PodLoad(RuntimePod("b", "b", "p", "b"), {"x": Tier.HOST, "y": Tier.HOST}, 0, False)
    assert picked(near, far, adapters=("x", "y")) == "b"


def test_a_full_pod_and_one_that_has_refused_come_after_the_others() -> None:
    assert picked(load("a", is_full=True), load("b", queue=9)) == "b"
    assert picked(load("a"), load("b"), avoid=("a",)) == "b"


def test_a_full_pod_is_the_last_choice_so_that_whoever_gets_it_knows_that_all_are_full() -> None:
    assert picked(load("a"), load("b", is_full=True), avoid=("a",)) == "a"


def test_equals_share_the_adapters_and_each_adapter_stays_with_its_pod() -> None:
    pods = [load("a"), load("b")]
    choices = {key: picked(*pods, adapters=(key,)) for key in map(str, range(20))}
    assert set(choices.values()) == {"a", "b"}
    assert choices == {key: picked(*reversed(pods), adapters=(key,)) for key in choices}


def test_without_pods_there_is_no_choice() -> None:
    assert pick_pod([], Work((KEY,))) is None


def test_a_tier_of_a_newer_pod_is_no_reason_to_avoid_it() -> None:
    newer = PodLoad(RuntimePod("a", "a", "p", "a"), {"x": "satellite"}, 0, False)

    assert pick_pod([newer, load("b", queue=1)], Work(("x",))) is newer


def test_a_suspect_goes_before_a_full_pod_and_after_a_long_queue() -> None:
    suspect = PodLoad(RuntimePod("a", "a", "p", "a"), {}, 0, is_full=False, is_suspect=True)
    assert picked(suspect, load("b", queue=9), adapters=()) == "b"
    assert picked(suspect, load("b", is_full=True), adapters=()) == "a"


def test_a_pod_that_sleeps_is_woken_where_the_others_have_a_request_more_to_do() -> None:
    asleep = replace(load("a", tier=Tier.DISK), is_asleep=True)
    assert picked(asleep, load("b", tier=Tier.DISK)) == "b"
    assert picked(asleep, load("b", queue=2, tier=Tier.DISK)) == "a"
    assert picked(asleep) == "a"
