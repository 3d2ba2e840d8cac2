"""Which pods are told to hold which adapters."""

from typing import Any

import pytest
from tests import make
from tests.unit.operator import make as op

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.pool import Pool
from lorapool_api.lora.facts import read_facts
from lorapool_api.lora.header import parse_header
from lorapool_operator.decide.placements import PlacementDecisions
from lorapool_operator.decide.placing.assigned import Placements
from lorapool_operator.decide.placing.placement_input import PlacementInput
from lorapool_operator.placement.place import NO_COPIES, CopyCount
from lorapool_operator.seen.resolution import Resolution

HEADER = make.safetensors_header({"unet.mid.to_k.lora_A.weight": (4, 32), "unet.mid.to_k.lora_B.weight": (16, 4)})
FOUND = Resolution(facts=read_facts(parse_header(*HEADER)), size_bytes=100 << 20)
PODS = tuple(op.pod(f"p-{number}", ip=f"10.0.0.{number}") for number in range(4))


def placed(pool: Pool, *adapters: Adapter, decisions: PlacementDecisions | None = None, pods: int = 4) -> Placements:
    seen = op.seen(*adapters, pool=pool, pods=PODS[:pods], outcome=FOUND)
    given = PlacementInput.of(seen, pool, op.checked(seen))
    return (decisions or PlacementDecisions()).placed(given)


def holders(placements: Placements, key: str = "default/pixel") -> int:
    return sum(key in assignment.holds for assignment in placements.assignments.values())


@pytest.mark.parametrize(
    ("adapters", "adapter", "copies"),
    [
        ({}, {}, 2),
        ({"copies": 3}, {}, 3),
        ({"copies": "All"}, {}, 4),
        ({"copies": 100}, {}, 4),
        ({"copies": 3}, {"copies": 1}, 1),
        ({"copies": 0}, {}, 0),
        ({"copies": 0}, {"pin": True}, 1),
        ({"prefetch": "None"}, {}, 0),
        ({"prefetch": "None"}, {"copies": "All"}, 4),
    ],
)
def test_so_many_pods_hold_an_adapter(adapters: dict[str, Any], adapter: dict[str, Any], copies: int) -> None:
    placements = placed(op.pool(adapters=adapters), make.adapter("pixel", **adapter))
    assert holders(placements) == copies
    assert placements.copies.get("default/pixel", NO_COPIES) == CopyCount(copies, 0)


def test_one_pod_reads_what_only_pods_can_see() -> None:
    pool, adapter = op.pool(adapters={"prefetch": "None"}), make.adapter("pixel")
    seen = op.seen(adapter, pool=pool, pods=PODS, outcome=Resolution())
    assert holders(PlacementDecisions().placed(PlacementInput.of(seen, pool, op.checked(seen)))) == 1


def test_every_pod_knows_all_pods_and_its_own_name() -> None:
    placements = placed(op.pool(), make.adapter("pixel"))
    for key, assignment in placements.assignments.items():
        assert assignment.name == key
        assert assignment.peers == {f"default/p-{n}": f"10.0.0.{n}:8081" for n in range(4)}


def test_adapters_are_spread_over_the_pods() -> None:
    placements = placed(op.pool(adapters={"copies": 1}), *(make.adapter(f"a{n}") for n in range(80)))
    assert all(8 <= len(assignment.holds) <= 35 for assignment in placements.assignments.values())


def test_a_bound_on_the_disk_bounds_what_is_held() -> None:
    pool = op.pool(adapters={"copies": "All", "diskBudget": "1Gi"})
    placements = placed(pool, *(make.adapter(f"a{n}") for n in range(40)))
    assert all(0 < len(assignment.holds) < 40 for assignment in placements.assignments.values())
    assert all(sum(count) == 4 for count in placements.copies.values())
    assert sum(count.unplaced for count in placements.copies.values()) == 160 - sum(
        len(assignment.holds) for assignment in placements.assignments.values()
    )


def test_what_is_not_new_is_not_decided_again() -> None:
    decisions, pool, adapter = PlacementDecisions(), op.pool(), make.adapter("pixel")
    first = placed(pool, adapter, decisions=decisions)
    assert placed(pool, adapter, decisions=decisions) is first
    assert placed(pool, adapter, decisions=decisions, pods=3) is not first


def test_a_pod_that_goes_takes_only_its_own_adapters_along() -> None:
    decisions, pool, adapters = PlacementDecisions(), op.pool(), [make.adapter(f"a{n}") for n in range(40)]
    before = placed(pool, *adapters, decisions=decisions)
    after = placed(pool, *adapters, decisions=decisions, pods=3)
    for key in after.assignments:
        assert before.assignments[key].holds <= after.assignments[key].holds
