"""When a rollout takes old pods down before their successors run."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.operator import make as op

from lorapool_operator.decide.pools.objects import wanted_objects
from lorapool_operator.decide.pools.rolling import RollingUpdate
from lorapool_operator.seen.observed import Observed
from lorapool_operator.seen.views import PodTrouble, PodView, Problem

NOW = op.at(3600)
NO_GPU = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."


def old(name: str, **fields: Any) -> PodView:
    return op.pod(name, replica_set="old", **fields)


def new(name: str, waited_s: int | None = None, message: str = NO_GPU) -> PodView:
    """A pod of the newest template: it runs, or has looked for a node for so long."""
    if waited_s is None:
        return op.pod(name, replica_set="new")
    problem = Problem(PodTrouble.UNSCHEDULABLE, "Unschedulable", message, NOW - timedelta(seconds=waited_s))
    return op.pod(name, replica_set="new", ready=False, phase="Pending", ip=None, has_node=False, problem=problem)


def seen(*pods: PodView, replicas: int = 1, **fields: Any) -> Observed:
    return op.seen(pool=op.pool(replicas=replicas), pods=pods, now=NOW, newest="new", **fields)


def unavailable(*passes: Observed) -> int:
    """After the last of these passes."""
    rollout = RollingUpdate()
    for each in passes:
        rollout = rollout.after(each)
    wanted = wanted_objects(passes[-1], rollout)
    assert wanted is not None
    return wanted.unavailable


@pytest.mark.parametrize(
    ("replicas", "waited_s", "count"), [(1, 0, 0), (1, 179, 0), (1, 180, 1), (3, 0, 0), (3, 180, 1)]
)
def test_old_pods_give_way_only_when_a_new_one_finds_no_room(replicas: int, waited_s: int, count: int) -> None:
    pods = [old(f"old-{n}") for n in range(replicas)]
    assert unavailable(seen(*pods, new("new", waited_s), replicas=replicas)) == count


def test_nobody_gives_way_to_a_pod_for_which_no_node_is_right() -> None:
    """The end of an old pod would make no room for it, and leave nobody to serve."""
    message = "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector."
    assert unavailable(seen(old("a"), new("b", 3600, message))) == 0


def test_a_quota_that_is_used_up_is_no_room_and_a_pod_that_is_forbidden_is_no_lack_of_it() -> None:
    def failing(message: str, waited_s: int) -> int:
        deployment = op.deployment(failure=message, failing_since=NOW - timedelta(seconds=waited_s))
        return unavailable(seen(old("a"), deployment=deployment))

    assert failing("pods is forbidden: exceeded quota: gpus, requested: requests.nvidia.com/gpu=1", 180) == 1
    assert failing("pods is forbidden: exceeded quota: gpus, requested: requests.nvidia.com/gpu=1", 179) == 0
    assert failing('pods "a" is forbidden: violates PodSecurity "restricted:latest"', 3600) == 0


def test_one_that_has_found_no_room_speaks_for_the_rest_of_the_roll_out() -> None:
    waiting = seen(old("a"), old("b"), new("c", 200), replicas=2)
    assert unavailable(waiting, seen(old("b"), new("c"), replicas=2)) == 1
    assert unavailable(waiting, seen(new("c"), new("d"), replicas=2)) == 0, "it is done"
    another = replace(seen(old("b"), new("c"), replicas=2), newest="newer")
    assert unavailable(waiting, another) == 0, "another template may find room"


def test_a_pool_without_room_for_all_of_its_pods_is_rolled_out_one_by_one_too() -> None:
    """Four are wanted and three fit: with one that may be missing nothing would ever move."""
    three = (old("a"), old("b"), old("c"))
    begun = seen(*three, new("d", 180), new("e", 180), replicas=4)
    assert unavailable(begun) == 2
    loading = seen(old("a"), old("b"), old("c", terminating=True), new("d", 1), new("e", 1), replicas=4)
    assert unavailable(begun, loading) == 2, "the one that ends has its node still"
    assert unavailable(begun, seen(old("a"), old("b"), new("d", 1), new("e", 1), replicas=4)) == 2


def test_outside_of_a_roll_out_nobody_gives_way() -> None:
    assert unavailable(op.seen(pool=op.pool())) == 0
    assert unavailable(seen(new("a"), new("b", 3600), replicas=2)) == 0
