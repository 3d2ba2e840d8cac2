"""A pass over many adapters: the event loop goes on, and what is alike is kept once."""

import asyncio
from dataclasses import replace

from tests import make
from tests.unit.operator import make as op
from tests.unit.operator.context import Bench

from lorapool_api.names import ADAPTER_FINALIZER
from lorapool_api.wire.state import AdapterPhase
from lorapool_operator.cluster.own_writes import with_finalizers
from lorapool_operator.decide.adapters.decisions import AdapterDecisions
from lorapool_operator.decide.placements import PlacementDecisions
from lorapool_operator.decide.plan import PassMemory, decide
from lorapool_operator.reconcile.reconciler import Reconciler
from lorapool_operator.seen.resolution import Resolution


async def test_the_event_loop_goes_on_while_a_pass_over_many_adapters_is_decided() -> None:
    bench = Bench()
    bench.put(make.pool(), *(make.adapter(f"a{number}") for number in range(200)))
    turns: list[int] = []

    async def turn() -> None:
        while True:
            turns.append(len(bench.api.writes))
            await asyncio.sleep(0)

    turning = asyncio.create_task(turn())
    await Reconciler("default/shapes", bench.context, lambda: None, most_at_once=100).run()
    turning.cancel()

    # Before the first write there were turns in which the plan was made.
    assert turns.count(0) > 10
    assert bench.api.count("loraadapters/a7/status") == 1


def test_entries_of_adapters_that_are_alike_share_what_is_the_same_of_all() -> None:
    adapters = [make.adapter(name, source={"path": f"/adapters/{name}"}) for name in ("one", "two")]
    pool = op.pool(
        adapters={"pathVolumes": ["files"]},
        runtime={
            "podTemplate": {
                "spec": {
                    "containers": [{"name": "runtime", "volumeMounts": [{"name": "files", "mountPath": "/adapters"}]}],
                    "volumes": [{"name": "files", "emptyDir": {}}],
                }
            }
        },
    )
    seen = op.seen(*adapters, pool=pool, outcomes={a.key: Resolution() for a in adapters})
    one, two = decide(seen, PassMemory(), AdapterDecisions(), PlacementDecisions()).entries
    assert one.model_fields_set is two.model_fields_set
    assert one.source.model_fields_set is two.source.model_fields_set


def test_our_own_finalizer_asks_for_no_other_check_and_any_other_change_does() -> None:
    adapter = make.adapter("a", metadata={"resourceVersion": "1"})
    reply = {"metadata": adapter.metadata.manifest() | {"finalizers": [ADAPTER_FINALIZER], "resourceVersion": "2"}}
    marked = with_finalizers(adapter, (ADAPTER_FINALIZER,), reply)
    assert marked is not None
    paused = marked.metadata.model_copy(update={"annotations": {"lorapool.dev/paused": "true"}})
    edited = marked.model_copy(update={"metadata": paused})
    decisions, pool = AdapterDecisions(), op.pool()
    first, second, third = (op.all_checked(op.seen(a, pool=pool), decisions) for a in (adapter, marked, edited))

    assert [list(checked.unmarked) for checked in (first, second)] == [["default/a"], []]
    one, same, other = (checked.results["default/a"] for checked in (first, second, third))
    assert same.entry is one.entry
    assert same.adapter is marked
    assert other.adapter is edited
    assert third.paused == {"default/a"}
    assert other.entry is not one.entry


def test_what_conditions_say_of_many_adapters_is_kept_once() -> None:
    names = ("one", "two")
    said = {"p-1": replace(op.report(), adapters={f"default/{name}": op.state(AdapterPhase.READY) for name in names})}
    seen = op.seen(*(make.adapter(name) for name in names), pool=op.pool(), reports=said)
    one, two = (op.statuses(seen)[f"default/{name}"] for name in names)
    assert one.conditions[3].reason == "Served"
    shared = [first is second for first, second in zip(one.conditions, two.conditions, strict=True)]
    assert shared == [True, False, True, True, True], "where each was found is its own"
