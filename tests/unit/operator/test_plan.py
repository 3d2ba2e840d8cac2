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
from lorapool_common.kube.merge_patch import merge_patch
from lorapool_operator.cluster.cache import ObjectCache
from lorapool_operator.decide.finalizers import UNREGISTER_GRACE_S, FinalizerPlan, plan_finalizers
from lorapool_operator.decide.pools.objects import must_give_way
from lorapool_operator.pods.delta import delta
from lorapool_operator.pods.report import ReportLog
from lorapool_operator.seen.observed import Observed, PodTrouble, Problem

TERMINATING = {"deletionTimestamp": make.EPOCH.isoformat(), "finalizers": [ADAPTER_FINALIZER]}
EMPTY = Catalog.of(())


def entry(name: str, generation: int = 1) -> CatalogEntry:
    return CatalogEntry(key=f"default/{name}", generation=generation, source=PathFile(path=f"/adapters/{name}"))


def plan(snapshot: Observed, terminating_s: float = 0.0, catalog: Catalog = EMPTY) -> FinalizerPlan:
    seconds = {a.key: terminating_s for a in snapshot.adapters if a.metadata.is_terminating}
    return plan_finalizers(snapshot, op.checked(snapshot), catalog, seconds)


# ---- finalizers


def test_only_adapters_that_will_be_registered_get_a_finalizer() -> None:
    fine, suspended = make.adapter("fine"), make.adapter("off", suspend=True)
    marked = make.adapter("marked", metadata={"finalizers": [ADAPTER_FINALIZER]})
    assert plan(op.seen(fine, suspended, marked, pool=op.pool())).add == (fine,)


def test_a_deleted_adapter_waits_until_every_pod_has_forgotten_it() -> None:
    terminating = make.adapter(metadata=TERMINATING)
    pods = {"a": op.report(digest=EMPTY.digest), "b": op.report(digest="old")}
    assert plan(op.seen(terminating, pool=op.pool(), reports=pods)).waiting == (terminating,)
    pods["b"] = op.report(digest=EMPTY.digest)
    assert plan(op.seen(terminating, pool=op.pool(), reports=pods)).remove == (terminating,)


def test_pods_that_cannot_have_it_are_not_waited_for() -> None:
    terminating = make.adapter(metadata=TERMINATING)
    pods = (op.pod("a", terminating=True), op.pod("b", phase="Pending", ip=None), op.pod("c", phase="Failed"))
    assert plan(op.seen(terminating, pool=op.pool(), reports={}, pods=pods)).remove == (terminating,)


def test_thousands_that_are_deleted_together_are_let_go_in_a_moment() -> None:
    """Each was compared with every other: a thousand took seconds in each pass."""
    terminating = tuple(make.adapter(f"a{n}", metadata=TERMINATING) for n in range(3000))
    pods = {"a": op.report(digest=EMPTY.digest)}
    snapshot = op.seen(*terminating, pool=op.pool(), reports=pods)
    began = time.process_time()
    assert plan_finalizers(snapshot, {}, EMPTY, {}).remove == terminating
    assert time.process_time() - began < 2.0


def test_a_pod_that_never_answers_is_waited_for_a_few_seconds_only() -> None:
    terminating = make.adapter(metadata=TERMINATING)
    silent = op.seen(terminating, pool=op.pool(), reports={"a": op.report(None, reachable=False, digest="old")})
    assert plan(silent, terminating_s=UNREGISTER_GRACE_S - 0.1).waiting == (terminating,)
    assert plan(silent, terminating_s=UNREGISTER_GRACE_S).remove == (terminating,)
    assert UNREGISTER_GRACE_S <= 10


def test_without_a_pool_nothing_is_waited_for() -> None:
    terminating = make.adapter(metadata=TERMINATING)
    assert plan(op.seen(terminating, pool=None, reports={"a": op.report(digest="old")})).remove == (terminating,)


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


def phases(log: ReportLog) -> dict[str, str]:
    return {key.partition("/")[2]: str(s.phase) for key, s in log.adapters.items()}


def test_news_are_added_to_what_was_said_before() -> None:
    log = ReportLog()
    assert log.apply(said(1, complete=True, a=AdapterPhase.READY, b=AdapterPhase.LOADING))
    assert log.apply(said(2, b=AdapterPhase.READY))
    assert phases(log) == {"a": "ready", "b": "ready"}
    assert not log.apply(said(2, b=AdapterPhase.READY))


def test_a_complete_answer_drops_what_it_does_not_name() -> None:
    log = ReportLog()
    log.apply(said(1, complete=True, a=AdapterPhase.READY, b=AdapterPhase.READY))
    assert log.apply(said(2, complete=True, b=AdapterPhase.READY))
    assert phases(log) == {"b": "ready"}


def test_answers_that_overtook_each_other_do_not_turn_back_time() -> None:
    """A PATCH is answered while an older long poll is on its way."""
    log = ReportLog()
    log.apply(said(1, complete=True, a=AdapterPhase.LOADING))
    log.apply(said(5, digest="new", a=AdapterPhase.READY))
    assert not log.apply(said(4, digest="old", a=AdapterPhase.LOADING))
    assert phases(log) == {"a": "ready"}
    assert log.digest == "new"


def test_another_instance_knows_nothing_of_what_the_one_before_said() -> None:
    log = ReportLog(held=EMPTY)
    log.apply(said(9, complete=True, a=AdapterPhase.READY))
    log.since = 9
    assert log.apply(said(1, "another", complete=True, digest=None))
    assert phases(log) == {}
    assert (log.since, log.digest, log.held) == (0, None, None)


# ---- what the watches brought


def test_older_words_about_an_object_are_ignored() -> None:
    cache = ObjectCache()
    new = make.adapter(metadata={"resourceVersion": "20"})
    old = make.adapter(metadata={"resourceVersion": "9"})
    assert cache.adapters.put(new.key, new) == {"default/shapes"}
    assert cache.adapters.put(old.key, old) == set()
    assert cache.adapters.put(new.key, new) == set()
    assert cache.adapters.get(new.key) is new


def test_an_object_made_again_replaces_the_one_before_whatever_the_versions_say() -> None:
    cache = ObjectCache()
    first = make.adapter(metadata={"resourceVersion": "20"})
    again = make.adapter(metadata={"resourceVersion": "5", "uid": "another"})
    cache.adapters.put(first.key, first)
    assert cache.adapters.put(again.key, again) == {"default/shapes"}
    assert cache.adapters.remove(first.key, first) == set(), "the late end of the first says nothing about the second"
    assert cache.adapters.get(again.key) is again


def test_a_list_made_before_a_deletion_does_not_bring_the_object_back() -> None:
    cache = ObjectCache()
    listed = make.adapter(metadata={"resourceVersion": "5"})
    cache.adapters.put(listed.key, listed)
    cache.adapters.remove(listed.key, make.adapter(metadata={"resourceVersion": "8"}))
    assert cache.adapters.put(listed.key, listed) == set()
    assert cache.known_pools() == set()


def test_an_adapter_that_changes_pools_concerns_both() -> None:
    cache = ObjectCache()
    here, there = (
        make.adapter(metadata={"resourceVersion": v}, poolRef={"name": n}) for v, n in (("1", "a"), ("2", "b"))
    )
    cache.adapters.put(here.key, here)
    assert cache.adapters.put(there.key, there) == {"default/a", "default/b"}
    assert cache.adapters.of_pool("default/a") == ()


def test_what_a_write_returned_does_not_bring_back_what_went_meanwhile() -> None:
    cache = ObjectCache()
    adapter = make.adapter(metadata={"resourceVersion": "1"})
    cache.adapters.refresh(adapter.key, adapter)
    assert cache.adapters.get(adapter.key) is None


def test_labels_of_a_namespace_wake_the_pools_that_select() -> None:
    cache, woken = ObjectCache(), list[str]()
    selecting = op.pool("a", adapters={"namespaces": {"from": "Selector", "selector": {}}})
    for pool in (selecting, op.pool("b")):
        cache.pools.put(pool.key, pool)
    cache.on_change = woken.append
    cache.put_namespace("x", {"team": "a"})
    cache.put_namespace("x", {"team": "a"})
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
