"""Who had a name keeps it, also over a deletion; statuses record it."""

from datetime import timedelta
from typing import Any

from tests import make
from tests.unit.operator import make as op

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.conditions import Reason
from lorapool_api.kinds.pool import Pool
from lorapool_api.kinds.status.names import MOST_KEPT_NAMES, HeldName, KeptName
from lorapool_operator.decide.adapters.decisions import AdapterDecisions
from lorapool_operator.decide.adapters.tenants.kept_names import KEPT_S
from lorapool_operator.decide.placements import PlacementDecisions
from lorapool_operator.decide.plan import PassMemory, PassPlan, decide

HERE = {"name": "shapes", "namespace": "default"}
POOL = op.pool(adapters={"namespaces": {"from": "All"}})
OURS = make.adapter("brand", "team-b", poolRef=HERE, modelIds=["b/brand"])
WAITING = make.adapter("waiting", "team-a", age_s=9, poolRef=HERE, modelIds=["brand"])


def held(adapter: Adapter, *names: str) -> Adapter:
    rows = tuple(HeldName(name=name, since=make.EPOCH) for name in names)
    status = adapter.status.model_copy(update={"names": rows, "pool_name": "default/shapes"})
    return adapter.model_copy(update={"status": status})


def planned(*adapters: Adapter, memory: PassMemory, pool: Pool = POOL, **fields: Any) -> PassPlan:
    return decide(op.seen(*adapters, pool=pool, **fields), memory, AdapterDecisions(), PlacementDecisions())


def reason(plan: PassPlan, adapter: Adapter) -> str:
    """Of the adapter's status as this pass writes it."""
    assert plan.report is not None
    (write,) = (w for w in plan.report.writes if w.about.metadata.uid == adapter.metadata.uid)
    return str(write.content["summary"])


def pool_write(plan: PassPlan) -> dict[str, Any]:
    assert plan.report is not None
    return next(w.content for w in plan.report.writes if isinstance(w.about, Pool))


def test_the_names_of_an_adapter_that_goes_are_kept_for_its_namespace() -> None:
    first = planned(held(OURS, "brand", "b/brand"), WAITING, memory=PassMemory(), reports={})
    assert reason(first, WAITING) == Reason.NAME_CONFLICT
    gone = planned(WAITING, memory=first.memory, reports={})
    assert reason(gone, WAITING) == Reason.NAME_CONFLICT
    assert {(row.name, row.namespace) for row in gone.memory.names.kept} == {("brand", "team-b"), ("b/brand", "team-b")}
    assert {row["name"] for row in pool_write(gone)["keptNames"]} == {"brand", "b/brand"}
    assert gone.again_s == KEPT_S
    again = planned(OURS, WAITING, memory=gone.memory, reports={})
    assert reason(again, WAITING) == Reason.NAME_CONFLICT
    served = planned(held(OURS, "brand", "b/brand"), WAITING, memory=again.memory, reports={})
    assert reason(served, WAITING) == Reason.NAME_CONFLICT
    assert not served.memory.names.kept


def test_after_an_hour_anybody_may_have_them() -> None:
    first = planned(held(OURS, "brand"), WAITING, memory=PassMemory(), reports={})
    gone = planned(WAITING, memory=first.memory, reports={})
    late = op.seen(pool=POOL).now + timedelta(seconds=KEPT_S)
    over = planned(WAITING, memory=gone.memory, reports={}, now=late)
    assert not over.memory.names.kept
    assert reason(over, WAITING) != Reason.NAME_CONFLICT


def test_an_operator_that_starts_anew_keeps_what_the_pools_status_says() -> None:
    row = KeptName(name="brand", namespace="team-b", until=make.EPOCH + timedelta(hours=2))
    known = POOL.model_copy(update={"status": POOL.status.model_copy(update={"kept_names": (row,)})})
    assert reason(planned(WAITING, memory=PassMemory(), pool=known, reports={}), WAITING) == Reason.NAME_CONFLICT


def test_a_pool_of_one_namespace_keeps_none_and_no_pool_more_than_a_bound() -> None:
    mine = make.adapter("pixel")
    first = planned(mine, memory=PassMemory(), pool=op.pool(), reports={})
    assert not planned(memory=first.memory, pool=op.pool(), reports={}).memory.names.kept
    many = [make.adapter(f"a{i}", "team-b", poolRef=HERE) for i in range(MOST_KEPT_NAMES + 9)]
    first = planned(*many, memory=PassMemory(), reports={})
    assert len(planned(memory=first.memory, reports={}).memory.names.kept) == MOST_KEPT_NAMES


def test_a_status_says_since_when_an_adapter_has_its_names_and_that_stays() -> None:
    status = op.statuses(op.seen(make.adapter(modelIds=["x/y"]), pool=op.pool()))["default/pixel"]
    now = op.seen(pool=None).now
    assert [(row.name, row.since) for row in status.names] == [("pixel", now), ("x/y", now)]
    kept = op.statuses(op.seen(held(make.adapter(modelIds=["x/y"]), "pixel"), pool=op.pool()))["default/pixel"]
    assert [(row.name, row.since) for row in kept.names] == [("pixel", make.EPOCH), ("x/y", now)]


def test_what_an_older_operator_served_had_its_names_from_the_beginning() -> None:
    adapter = make.adapter(age_s=60)
    served = op.statuses(op.seen(adapter, pool=op.pool()))["default/pixel"].model_copy(update={"names": ()})
    status = op.statuses(op.seen(adapter.model_copy(update={"status": served}), pool=op.pool()))["default/pixel"]
    assert [row.since for row in status.names] == [adapter.metadata.creation_timestamp]


def test_an_adapter_that_goes_by_its_full_name_alone_says_so() -> None:
    others = held(make.adapter("pixel", "team-a", poolRef=HERE), "pixel")
    mine = make.adapter("pixel", "team-b", poolRef=HERE)
    status = op.statuses(op.seen(others, mine, pool=POOL))["team-b/pixel"]
    assert "ask for team-b/pixel" in op.condition(status.conditions, "Accepted").message
    assert not status.names
