"""Copies follow what requests ask for, as the pods tell of it."""

from collections.abc import Mapping
from dataclasses import replace

from tests import make
from tests.unit.operator import make as op

from lorapool_operator.decide.demands import NO_DEMANDS, AdapterDemands
from lorapool_operator.decide.placements import PlacementDecisions
from lorapool_operator.decide.placing.placement_input import PlacementInput
from lorapool_operator.placement.place import CopyCount
from lorapool_operator.seen.observed import Observed

HOT, COLD = "default/hot", "default/cold"


def seen(second: float, **busy_s: Mapping[str, float]) -> Observed:
    """What five pods say of their work at that second."""
    reports = {name: replace(op.report(), busy_s=busy_s.get(name, {})) for name in "abcde"}
    return op.seen(make.adapter("hot"), make.adapter("cold"), pool=op.pool(), reports=reports, clock_s=second)


def used(seconds: int, each_s: float, use: AdapterDemands = NO_DEMANDS, start: float = 0.0) -> AdapterDemands:
    """The use after two of five pods worked so long of each second with the hot adapter."""
    for second in range(0, seconds, 10):
        at = start + second
        use = use.after(seen(at, a={HOT: at * each_s, COLD: 1.0}, b={HOT: at * each_s}))
    return use


def test_two_busy_pods_justify_more_than_two_copies() -> None:
    assert dict(used(600, 0.9).copies)[HOT] == 4


def test_an_adapter_that_was_used_once_justifies_none() -> None:
    assert COLD not in dict(used(600, 0.9).copies)


def test_what_nobody_asks_for_any_more_is_forgotten() -> None:
    use = used(600, 0.9)
    for second in range(600, 6000, 30):
        use = use.after(seen(second, a={HOT: 540.0}, b={HOT: 540.0}))
    assert use.demands == {}


def test_a_pod_that_speaks_of_what_the_pool_does_not_have_changes_nothing() -> None:
    use = NO_DEMANDS.after(seen(0, a={f"default/stranger-{number}": 1e9 for number in range(256)}))
    assert use.demands == {}


def test_a_process_that_began_anew_counts_from_nought() -> None:
    use = NO_DEMANDS.after(seen(0, a={HOT: 500.0}))
    before = use.demands[HOT].load
    use = use.after(seen(30, a={HOT: 3.0}))
    assert use.demands[HOT].load <= before


def test_copies_that_are_justified_are_placed() -> None:
    pods = tuple(op.pod(f"p-{number}", ip=f"10.0.0.{number}") for number in range(5))
    sight = op.seen(make.adapter("hot"), make.adapter("cold"), pool=op.pool(), pods=pods)
    assert sight.pool is not None
    given = PlacementInput.of(sight, sight.pool, op.checked(sight), used(600, 0.9))
    assert PlacementDecisions().placed(given).copies == {HOT: CopyCount(4, 0), COLD: CopyCount(2, 0)}
