"""When a roll-out takes an old pod down first."""

from datetime import timedelta

import pytest
from tests.unit.operator import make as op

from lorapool_operator.decide.pools.objects import must_give_way
from lorapool_operator.seen.views import PodTrouble, Problem


@pytest.mark.parametrize(
    ("replicas", "waited_s", "gives_way"), [(1, 0, False), (1, 179, False), (1, 180, True), (2, 0, True)]
)
def test_a_single_pod_gives_way_only_when_its_successor_finds_no_node(
    replicas: int, waited_s: int, gives_way: bool
) -> None:
    now = op.at(3600)
    problem = Problem(PodTrouble.UNSCHEDULABLE, "Unschedulable", "no GPU", now - timedelta(seconds=waited_s))
    pods = (op.pod("old"), op.pod("new", ready=False, phase="Pending", ip=None, problem=problem))
    snapshot = op.seen(pool=op.pool(replicas=replicas), pods=pods, now=now)
    assert must_give_way(snapshot) is gives_way


def test_a_healthy_pod_never_gives_way() -> None:
    assert not must_give_way(op.seen(pool=op.pool()))
