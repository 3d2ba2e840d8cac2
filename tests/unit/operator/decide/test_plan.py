"""A pass as a whole: what it is to do, from what it saw and what the pass before left."""

from datetime import timedelta
from typing import Any

from tests import make
from tests.unit.operator import make as op

from lorapool_api.wire.state import BasePhase, BaseReport, BaseState
from lorapool_operator.decide.adapters.decisions import AdapterDecisions
from lorapool_operator.decide.adapters.incremental.status_news import StatusNews
from lorapool_operator.decide.placements import PlacementDecisions
from lorapool_operator.decide.plan import SETTLE_S, PassMemory, PassPlan, decide
from lorapool_operator.seen.observed import NO_REPORT, Observed

NOTHING = PassMemory()
OLD = BaseReport(revision="old", modules={"unet": {"to_k": (1, 2)}})
NEW = BaseReport(revision="new", modules={"unet": {"to_k": (3, 4)}})


def warm(revision: str) -> BaseState:
    return BaseState(phase=BasePhase.WARM, revision=revision)


def planned(seen: Observed, memory: PassMemory = NOTHING) -> PassPlan:
    return decide(seen, memory, AdapterDecisions(), PlacementDecisions())


def base_of(plan: PassPlan) -> BaseReport | None:
    return plan.memory.base[1] if plan.memory.base else None


def test_what_was_decided_before_changes_no_plan() -> None:
    """Results that are kept only save work."""
    used, placed, memory = AdapterDecisions(), PlacementDecisions(), NOTHING
    one, two = make.adapter("one"), make.adapter("two", suspend=True)
    sights: list[dict[str, Any]] = [
        {"reports": {"p-1": op.report(one=op.state())}},
        {"reports": {"p-1": op.report(None)}},
        {"namespace_labels": {"default": {"a": "b"}}},
        {"base": None},
        {"pool": op.pool(replicas=0)},
        {"pool": None},
        {},
    ]
    for second, sight in enumerate(sights):
        fields: dict[str, Any] = {"pool": op.pool(), "clock_s": float(second)} | sight
        seen = op.seen(one, two, **fields)
        plan = decide(seen, memory, used, placed)
        assert plan == planned(seen, memory)
        memory = plan.memory


def test_the_base_of_the_newest_warm_pod_is_checked_by() -> None:
    pods = (op.pod("old"), op.pod("new", created=make.EPOCH + timedelta(hours=1)))

    def checked_by(newest: BaseState) -> BaseReport | None:
        said = {"old": op.report(warm("old")), "new": op.report(newest)}
        return base_of(planned(op.seen(pool=op.pool(), reports=said, pods=pods, bases={"old": OLD, "new": NEW})))

    assert checked_by(warm("new")) == NEW
    assert checked_by(BaseState(phase=BasePhase.LOADING)) == OLD


def test_the_last_base_holds_while_no_pod_is_warm_and_for_the_same_model_only() -> None:
    before = planned(op.seen(pool=op.pool())).memory
    assert before.base is not None
    asleep = op.seen(pool=op.pool(replicas=0), reports={})
    assert planned(asleep, before).memory.base == before.base
    another = op.pool(model={"source": {"path": "/models/another"}, "dtype": "float32"})
    assert planned(op.seen(pool=another, reports={}), before).memory.base is None


def test_what_went_is_forgotten() -> None:
    stays, goes = make.adapter("stays"), make.adapter("goes")
    before = planned(op.seen(stays, goes, pool=op.pool())).memory
    plan = planned(op.seen(stays, pool=None), before)
    assert dict(plan.gone) == {goes.metadata.uid: goes.key}
    assert plan.gone_pool == op.pool().metadata.uid
    assert (planned(op.seen(stays, pool=None), plan.memory).gone, plan.objects) == ({}, None)


def test_statuses_wait_a_moment_for_pods_that_are_being_told_and_no_longer() -> None:
    adapter = make.adapter()
    first = planned(op.seen(adapter, pool=op.pool(), clock_s=10.0))
    assert first.report is None
    assert first.again_s == SETTLE_S
    half = planned(op.seen(adapter, pool=op.pool(), clock_s=10.0 + SETTLE_S / 2), first.memory)
    assert half.report is None
    assert half.again_s == SETTLE_S / 2
    over = planned(op.seen(adapter, pool=op.pool(), clock_s=10.0 + SETTLE_S), half.memory)
    assert over.report is not None
    assert over.again_s == StatusNews.PROGRESS.may_wait_s  # the pod says nothing of the adapter: it is loading


def test_statuses_wait_for_pods_that_were_not_asked_yet_and_not_for_silent_ones() -> None:
    def reported(report: Any) -> bool:
        return planned(op.seen(make.adapter(), pool=op.pool(), reports={"p-1": report})).report is not None

    assert not reported(NO_REPORT)
    assert reported(op.report(reachable=False))


def test_only_the_deployment_of_a_pool_whose_namespace_goes_is_scaled_down() -> None:
    assert planned(op.seen(pool=None)).scale_down is None
    assert planned(op.seen(pool=None, is_namespace_terminating=True)).scale_down == op.deployment()
    scaled = op.seen(pool=None, is_namespace_terminating=True, deployment=op.deployment(replicas=0))
    assert planned(scaled).scale_down is None
