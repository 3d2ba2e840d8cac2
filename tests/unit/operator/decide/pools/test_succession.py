"""In a rollout new pods hold their part of what the old ones hold before they take requests."""

from dataclasses import replace

from tests import make
from tests.unit.operator import make as op

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.pool import Pool
from lorapool_api.lora.facts import read_facts
from lorapool_api.lora.header import parse_header
from lorapool_api.wire.state import AdapterPhase
from lorapool_operator.decide.placements import PlacementDecisions
from lorapool_operator.decide.placing.assigned import Placements
from lorapool_operator.decide.placing.placement_input import PlacementInput
from lorapool_operator.seen.observed import Observed, PodReport
from lorapool_operator.seen.resolution import Resolution
from lorapool_operator.seen.views import PodView

HEADER = make.safetensors_header({"unet.mid.to_k.lora_A.weight": (4, 32), "unet.mid.to_k.lora_B.weight": (16, 4)})
FOUND = Resolution(facts=read_facts(parse_header(*HEADER)), size_bytes=1 << 20)
ADAPTERS = tuple(make.adapter(f"a{n}") for n in range(60))
KEYS = frozenset(a.key for a in ADAPTERS)


def old(number: int) -> PodView:
    return op.pod(f"old-{number}", ip=f"10.0.0.{number}", replica_set="old")


def new(number: int, *, ready: bool = False) -> PodView:
    return op.pod(f"new-{number}", ip=f"10.0.1.{number}", replica_set="new", ready=ready)


def ready(*names: str) -> PodReport:
    """A pod that has these adapters on its disk."""
    states = {f"default/{name}": op.state(AdapterPhase.READY) for name in names}
    return replace(op.report(), adapters=states)


ALL = ready(*(a.metadata.name for a in ADAPTERS))


def seen(pool: Pool, *pods: PodView, newest: str = "new", adapters: tuple[Adapter, ...] = ADAPTERS) -> Observed:
    reports = {p.name: ALL if p.replica_set == "old" else op.report() for p in pods}
    return op.seen(*adapters, pool=pool, reports=reports, pods=pods, newest=newest, outcome=FOUND)


def placed(given: Observed, decisions: PlacementDecisions | None = None) -> Placements:
    assert given.pool is not None
    return (decisions or PlacementDecisions()).placed(PlacementInput.of(given, given.pool, op.checked(given)))


def held(placements: Placements, *pods: str) -> frozenset[str]:
    return frozenset().union(*(placements.assignments[f"default/{p}"].holds for p in pods))


def test_the_only_new_pod_holds_all_that_the_only_old_one_holds() -> None:
    for copies in (1, 2):
        made = placed(seen(op.pool(adapters={"copies": copies}), old(1), new(1)))
        assert held(made, "old-1") == held(made, "new-1") == KEYS
        assert made.assignments["default/new-1"].first == KEYS
        assert made.assignments["default/old-1"].first == frozenset()


def test_the_first_of_several_new_pods_brings_its_part_and_not_all() -> None:
    pool = op.pool(replicas=4, adapters={"copies": 1})
    made = placed(seen(pool, old(1), old(2), old(3), old(4), new(1)))
    assert held(made, "old-1", "old-2", "old-3", "old-4") == KEYS
    assert 5 <= len(held(made, "new-1")) <= 30
    assert {count.placed for count in made.copies.values()} == {1}


def test_when_all_new_pods_are_there_they_hold_everything_before_the_last_old_one_goes() -> None:
    pool = op.pool(replicas=2, adapters={"copies": 1})
    made = placed(seen(pool, old(1), new(1, ready=True), new(2)))
    assert held(made, "new-1", "new-2") == KEYS
    assert made.assignments["default/new-1"].first == frozenset(), "it takes requests already"
    assert made.assignments["default/new-2"].first == held(made, "new-2")


def test_nobody_waits_for_what_no_old_pod_has() -> None:
    given = seen(op.pool(), old(1), new(1))
    given = replace(given, reports={**given.reports, "default/old-1": ready("a0", "a1")})
    assert placed(given).assignments["default/new-1"].first == {"default/a0", "default/a1"}


def test_old_pods_hold_through_the_roll_out_what_they_held() -> None:
    decisions, pool = PlacementDecisions(), op.pool(replicas=3, adapters={"copies": 1})
    three = (old(1), old(2), old(3))
    before = placed(seen(pool, *three, newest="old"), decisions)
    during = placed(seen(pool, *three, new(1)), decisions)
    for key, assignment in before.assignments.items():
        assert during.assignments[key].holds == assignment.holds
    assert before.copies == during.copies, "no status says anything new"


def test_after_the_roll_out_the_new_pods_hold_what_they_held_at_its_end() -> None:
    decisions, pool = PlacementDecisions(), op.pool(replicas=2, adapters={"copies": 1})
    end = placed(seen(pool, old(1), new(1, ready=True), new(2, ready=True)), decisions)
    after = placed(seen(pool, new(1, ready=True), new(2, ready=True)), decisions)
    for pod in ("new-1", "new-2"):
        assert held(after, pod) == held(end, pod)


def test_outside_of_a_roll_out_nobody_waits() -> None:
    made = placed(seen(op.pool(replicas=2), new(1, ready=True), new(2)))
    assert all(assignment.first == frozenset() for assignment in made.assignments.values())
