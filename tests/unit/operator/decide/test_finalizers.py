"""Which finalizers are added, and when they are taken away."""

import time

from tests import make
from tests.unit.operator import make as op

from lorapool_api.names import ADAPTER_FINALIZER
from lorapool_api.wire.catalog import Catalog
from lorapool_operator.decide.adapters.decisions import AdapterDecisions
from lorapool_operator.decide.finalizers import UNREGISTER_GRACE_S, FinalizerPlan, plan_finalizers
from lorapool_operator.seen.observed import Observed

TERMINATING = {"deletionTimestamp": make.EPOCH.isoformat(), "finalizers": [ADAPTER_FINALIZER]}
EMPTY = Catalog.of(())


def plan(snapshot: Observed, terminating_s: float = 0.0, catalog: Catalog = EMPTY) -> FinalizerPlan:
    seconds = {a.key: terminating_s for a in snapshot.adapters if a.metadata.is_terminating}
    found = op.all_checked(snapshot, AdapterDecisions())
    return plan_finalizers(snapshot, found.unmarked, found.terminating, catalog, seconds)


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
    in_order = tuple(sorted(terminating, key=lambda adapter: adapter.key))
    began = time.process_time()
    assert plan_finalizers(snapshot, {}, snapshot.by_key, EMPTY, {}).remove == in_order
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
