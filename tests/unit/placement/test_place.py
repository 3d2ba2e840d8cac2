"""PlacedCopies: stable, even, within the disks, and the same whatever is remembered."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from lorapool_api.rules.rendezvous import Nodes
from lorapool_operator.placement.place import Holder, PlacedCopies, WantedCopies, place
from lorapool_operator.placement.ranks import Ranks

MIB = 1 << 20


def pods(count: int, room_bytes: int | None = None) -> list[Holder]:
    return [Holder(f"default/pod-{number}", room_bytes) for number in range(count)]


def wants(count: int, copies: int = 1, size_bytes: int = 10 * MIB) -> list[WantedCopies]:
    return [WantedCopies(f"default/adapter-{number}", size_bytes, copies) for number in range(count)]


def placed(wanted: list[WantedCopies], holders: list[Holder], ranks: Ranks | None = None) -> PlacedCopies:
    ranks = ranks or Ranks()
    ranks.follow({h.name: 1.0 for h in holders}, {w.key for w in wanted})
    return place(wanted, holders, ranks)


def held(placement: PlacedCopies) -> Counter[str]:
    return Counter(pod for names in placement.pods.values() for pod in names)


def moved(before: PlacedCopies, after: PlacedCopies) -> int:
    """Copies that a pod has to bring."""
    return sum(len(set(after.pods[key]) - set(before.pods.get(key, ()))) for key in after.pods)


def test_every_adapter_has_its_copies_on_different_pods() -> None:
    placement = placed(wants(1000, copies=3), pods(20))
    assert {len(set(names)) for names in placement.pods.values()} == {3}
    assert not placement.missing


def test_copies_are_spread_evenly() -> None:
    counts = held(placed(wants(2000, copies=2), pods(20)))
    assert 150 <= min(counts.values()) <= max(counts.values()) <= 250  # 200 each; four deviations of 14


def test_more_copies_than_pods_means_all() -> None:
    placement = placed(wants(10, copies=1000), pods(3))
    assert {len(names) for names in placement.pods.values()} == {3}
    assert not placement.missing


def test_a_pod_that_goes_moves_only_what_it_held() -> None:
    before, after = placed(wants(1000), pods(20)), placed(wants(1000), pods(20)[:-1])
    assert moved(before, after) == held(before)["default/pod-19"]


def test_a_pod_that_comes_takes_its_share_and_nothing_else_moves() -> None:
    before, after = placed(wants(1000), pods(20)), placed(wants(1000), pods(21))
    assert moved(before, after) == held(after)["default/pod-20"]
    assert moved(before, after) <= 1000 / 21 * 1.5


def test_no_pod_gets_more_than_it_has_room_for() -> None:
    placement = placed(wants(100), pods(4, room_bytes=300 * MIB))
    assert max(held(placement).values()) <= 30
    assert not placement.missing


def test_a_full_disk_costs_second_copies_before_it_costs_adapters() -> None:
    placement = placed(wants(100, copies=2), pods(4, room_bytes=300 * MIB))
    assert len(placement.pods) == 100
    assert sum(held(placement).values()) == 120
    assert sum(placement.missing.values()) == 80


def test_what_is_pinned_has_its_place_first() -> None:
    pinned = WantedCopies("default/zebra", 10 * MIB, 1, pin=True)
    placement = placed([*wants(100), pinned], pods(1, room_bytes=50 * MIB))
    assert "default/zebra" in placement.pods
    assert len(placement.pods) == 5


def test_no_pods_hold_nothing() -> None:
    placement = placed(wants(3), [])
    assert placement.pods == {}


def test_a_pod_of_twice_the_weight_holds_twice_as_many() -> None:
    wanted, ranks = wants(3000), Ranks()
    ranks.follow({"default/pod-0": 2.0, "default/pod-1": 1.0}, {w.key for w in wanted})
    counts = held(place(wanted, pods(2), ranks))
    assert 1.8 <= counts["default/pod-0"] / counts["default/pod-1"] <= 2.2


NAMES = st.sets(st.sampled_from([f"pod-{number}" for number in range(14)]))


@given(st.lists(NAMES, min_size=1, max_size=6), st.integers(1, 14))
def test_what_ranks_remember_never_shows(steps: list[set[str]], most: int) -> None:
    ranks, items = Ranks(), {f"adapter-{number}" for number in range(5)}
    for names in steps:
        weights = dict.fromkeys(names, 1.0)
        ranks.follow(weights, items)
        for item in items:
            assert ranks.of(item, most) == Nodes(weights).ranked(item, most)
