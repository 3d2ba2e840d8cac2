"""What a pass does: finalizers, deltas, roll-outs that give way; and what it remembers between passes."""

import time
from datetime import timedelta
from typing import Any

import pytest
from tests import make
from tests.unit.operator import make as op

from lorapool_api.names import ADAPTER_FINALIZER
from lorapool_api.wire.catalog import Catalog, CatalogEntry, PathFile
from lorapool_api.wire.state import AdapterPhase, BasePhase, BaseState, PodState
from lorapool_operator.cluster.cache import Store
from lorapool_operator.cluster.kube import merge_patch
from lorapool_operator.decide.plan import UNREGISTER_GRACE_S, FinalizerPlan, delta, must_give_way, plan_finalizers
from lorapool_operator.pods.report import Memory
from lorapool_operator.seen.observed import Observed, PodTrouble, Problem

GOING = {"deletionTimestamp": make.EPOCH.isoformat(), "finalizers": [ADAPTER_FINALIZER]}
EMPTY = Catalog.of(())


def entry(name: str, generation: int = 1) -> CatalogEntry:
    return CatalogEntry(key=f"default/{name}", generation=generation, source=PathFile(path=f"/adapters/{name}"))


def plan(snapshot: Observed, going_s: float = 0.0, catalog: Catalog = EMPTY) -> FinalizerPlan:
    seconds = {a.key: going_s for a in snapshot.adapters if a.metadata.is_going}
    return plan_finalizers(snapshot, op.judged(snapshot), catalog, seconds)


# ---- finalizers


def test_only_adapters_that_will_be_registered_get_a_finalizer() -> None:
    fine, suspended = make.adapter("fine"), make.adapter("off", suspend=True)
    marked = make.adapter("marked", metadata={"finalizers": [ADAPTER_FINALIZER]})
    assert plan(op.seen(fine, suspended, marked, pool=op.pool())).add == (fine,)


def test_a_deleted_adapter_waits_until_every_pod_has_forgotten_it() -> None:
    going = make.adapter(metadata=GOING)
    pods = {"a": op.talk(digest=EMPTY.digest), "b": op.talk(digest="old")}
    assert plan(op.seen(going, pool=op.pool(), talks=pods)).waiting == (going,)
    pods["b"] = op.talk(digest=EMPTY.digest)
    assert plan(op.seen(going, pool=op.pool(), talks=pods)).remove == (going,)


def test_pods_that_cannot_have_it_are_not_waited_for() -> None:
    going = make.adapter(metadata=GOING)
    pods = (op.pod("a", going=True), op.pod("b", phase="Pending", ip=None), op.pod("c", phase="Failed"))
    assert plan(op.seen(going, pool=op.pool(), talks={}, pods=pods)).remove == (going,)


def test_thousands_that_are_deleted_together_are_let_go_in_a_moment() -> None:
    """Each was compared with every other: a thousand took seconds in each pass."""
    going = tuple(make.adapter(f"a{n}", metadata=GOING) for n in range(3000))
    pods = {"a": op.talk(digest=EMPTY.digest)}
    snapshot = op.seen(*going, pool=op.pool(), talks=pods)
    began = time.process_time()
    assert plan_finalizers(snapshot, {}, EMPTY, {}).remove == going
    assert time.process_time() - began < 2.0


def test_a_pod_that_never_answers_is_waited_for_a_few_seconds_only() -> None:
    going = make.adapter(metadata=GOING)
    silent = op.seen(going, pool=op.pool(), talks={"a": op.talk(None, reachable=False, digest="old")})
    assert plan(silent, going_s=UNREGISTER_GRACE_S - 0.1).waiting == (going,)
    assert plan(silent, going_s=UNREGISTER_GRACE_S).remove == (going,)
    assert UNREGISTER_GRACE_S <= 10


def test_without_a_pool_nothing_is_waited_for() -> None:
    going = make.adapter(metadata=GOING)
    assert plan(op.seen(going, pool=None, talks={"a": op.talk(digest="old")})).remove == (going,)


# ---- catalogs


def test_a_delta_names_what_is_new_changed_or_gone() -> None:
    held = Catalog.of([entry("same"), entry("edited"), entry("gone")])
    wanted = Catalog.of([entry("same"), entry("edited", 2), entry("new")])
    change = delta(held, wanted)
    assert (change.base, change.digest) == (held.digest, wanted.digest)
    assert [e.key for e in change.upsert] == ["default/edited", "default/new"]
    assert change.remove == ("default/gone",)


# ---- roll-outs


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


# ---- what pods said


def said(
    version: int, instance: str = "i", *, complete: bool = False, digest: str | None = "d", **adapters: Any
) -> PodState:
    states = {f"default/{name}": op.state(phase) for name, phase in adapters.items()}
    base = BaseState(phase=BasePhase.WARM, revision="r")
    return PodState(instance=instance, version=version, digest=digest, base=base, complete=complete, adapters=states)


def phases(memory: Memory) -> dict[str, str]:
    return {key.partition("/")[2]: str(s.phase) for key, s in memory.adapters.items()}


def test_news_are_added_to_what_was_said_before() -> None:
    memory = Memory()
    assert memory.hear(said(1, complete=True, a=AdapterPhase.READY, b=AdapterPhase.LOADING))
    assert memory.hear(said(2, b=AdapterPhase.READY))
    assert phases(memory) == {"a": "ready", "b": "ready"}
    assert not memory.hear(said(2, b=AdapterPhase.READY))


def test_a_complete_answer_drops_what_it_does_not_name() -> None:
    memory = Memory()
    memory.hear(said(1, complete=True, a=AdapterPhase.READY, b=AdapterPhase.READY))
    assert memory.hear(said(2, complete=True, b=AdapterPhase.READY))
    assert phases(memory) == {"b": "ready"}


def test_answers_that_overtook_each_other_do_not_turn_back_time() -> None:
    """A PATCH is answered while an older long poll is on its way."""
    memory = Memory()
    memory.hear(said(1, complete=True, a=AdapterPhase.LOADING))
    memory.hear(said(5, digest="new", a=AdapterPhase.READY))
    assert not memory.hear(said(4, digest="old", a=AdapterPhase.LOADING))
    assert phases(memory) == {"a": "ready"}
    assert memory.digest == "new"


def test_another_instance_knows_nothing_of_what_the_one_before_said() -> None:
    memory = Memory(held=EMPTY)
    memory.hear(said(9, complete=True, a=AdapterPhase.READY))
    memory.since = 9
    assert memory.hear(said(1, "another", complete=True, digest=None))
    assert phases(memory) == {}
    assert (memory.since, memory.digest, memory.held) == (0, None, None)


# ---- what the watches brought


def test_older_words_about_an_object_are_ignored() -> None:
    store = Store()
    new = make.adapter(metadata={"resourceVersion": "20"})
    old = make.adapter(metadata={"resourceVersion": "9"})
    assert store.adapters.put(new.key, new) == {"default/shapes"}
    assert store.adapters.put(old.key, old) == set()
    assert store.adapters.put(new.key, new) == set()
    assert store.adapters.get(new.key) is new


def test_an_object_made_again_replaces_the_one_before_whatever_the_versions_say() -> None:
    store = Store()
    first = make.adapter(metadata={"resourceVersion": "20"})
    again = make.adapter(metadata={"resourceVersion": "5", "uid": "another"})
    store.adapters.put(first.key, first)
    assert store.adapters.put(again.key, again) == {"default/shapes"}
    assert store.adapters.remove(first.key, first) == set(), "the late end of the first says nothing about the second"
    assert store.adapters.get(again.key) is again


def test_a_list_made_before_a_deletion_does_not_bring_the_object_back() -> None:
    store = Store()
    listed = make.adapter(metadata={"resourceVersion": "5"})
    store.adapters.put(listed.key, listed)
    store.adapters.remove(listed.key, make.adapter(metadata={"resourceVersion": "8"}))
    assert store.adapters.put(listed.key, listed) == set()
    assert store.known_pools() == set()


def test_an_adapter_that_changes_pools_concerns_both() -> None:
    store = Store()
    here, there = (
        make.adapter(metadata={"resourceVersion": v}, poolRef={"name": n}) for v, n in (("1", "a"), ("2", "b"))
    )
    store.adapters.put(here.key, here)
    assert store.adapters.put(there.key, there) == {"default/a", "default/b"}
    assert store.adapters.of_pool("default/a") == ()


def test_what_a_write_returned_does_not_bring_back_what_went_meanwhile() -> None:
    store = Store()
    adapter = make.adapter(metadata={"resourceVersion": "1"})
    store.adapters.refresh(adapter.key, adapter)
    assert store.adapters.get(adapter.key) is None


def test_labels_of_a_namespace_wake_the_pools_that_select() -> None:
    store, woken = Store(), list[str]()
    selecting = op.pool("a", adapters={"namespaces": {"from": "Selector", "selector": {}}})
    for pool in (selecting, op.pool("b")):
        store.pools.put(pool.key, pool)
    store.on_change = woken.append
    store.put_namespace("x", {"team": "a"})
    store.put_namespace("x", {"team": "a"})
    assert woken == ["default/a"]


# ---- patches


@pytest.mark.parametrize(
    ("old", "new", "patch"),
    [
        ({"a": 1}, {"a": 1}, {}),
        ({"a": 1}, {"a": 2, "b": 3}, {"a": 2, "b": 3}),
        ({"a": 1, "b": 2}, {"a": 1}, {"b": None}),
        ({"m": {"x": 1, "y": 2}}, {"m": {"x": 1}}, {"m": {"y": None}}),
        ({"l": [1, 2]}, {"l": [2]}, {"l": [2]}),
        ({"m": 1}, {"m": {"x": 1}}, {"m": {"x": 1}}),
    ],
)
def test_a_merge_patch_says_what_changed_and_what_went(old: Any, new: Any, patch: Any) -> None:
    assert merge_patch(old, new) == patch
