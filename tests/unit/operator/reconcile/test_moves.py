"""Adapters that move from one pool to another: the old one serves until the new one does."""

from collections.abc import AsyncIterator

import pytest
from tests import make
from tests.unit.operator import make as made
from tests.unit.operator.context import LoopClock
from tests.unit.operator.fake_pods import FakePod
from tests.unit.operator.reconcile.operating import IP, OTHER_IP, Operating
from tests.virtual_time import elapse, until

from lorapool_api.wire.state import AdapterPhase
from lorapool_operator.pods.control import ControlError
from lorapool_operator.reconcile.worker import Workers
from lorapool_operator.seen.resolution import Resolution

pytestmark = pytest.mark.virtual_time

PIXEL = "default/pixel"
OLD, NEW = "default/shapes", "default/other"


class Moving(Operating):
    """Two pools with a pod each, and an adapter that the first one serves."""

    old: FakePod
    new: FakePod

    async def begin(self) -> None:
        self.put(made.pool(), made.pool("other"))
        await elapse(1.0)
        self.old, self.new = self.start_pod(FakePod()), self.start_pod(FakePod(), OTHER_IP, "q-1", "other")
        await elapse(1.0)
        self.found.outcomes[PIXEL] = Resolution(rank=8)
        self.put(make.adapter("pixel", metadata={"resourceVersion": "1"}))
        await self.says("Served", "pixel")

    @property
    def serving(self) -> tuple[str | None, str]:
        """Where it is served, and whether it is ready."""
        return self.status("pixel").pool_name, self.condition("pixel", "Ready").status


@pytest.fixture
async def it() -> AsyncIterator[Moving]:
    bench = Moving(clock=LoopClock())
    workers = Workers(bench.context)
    bench.listeners.append(workers.wake)
    await bench.begin()
    yield bench
    await workers.stop()


async def test_the_old_pool_serves_until_the_new_one_has_it_on_a_disk(it: Moving) -> None:
    it.new.phases[PIXEL] = AdapterPhase.DOWNLOADING
    it.edit("pixel", "other")
    await it.says("Moving", "pixel")
    assert it.serving == (OLD, "True")
    assert "Downloading" in it.condition("pixel", "Ready").message
    assert set(it.old.entries) == set(it.new.entries) == {PIXEL}

    it.new.phases.clear()
    it.new.tell()
    await it.says("Served", "pixel")
    assert it.serving == (NEW, "True")
    await until(lambda: not it.old.entries, 5.0)


async def test_a_move_is_never_not_ready(it: Moving) -> None:
    it.edit("pixel", "other")
    await it.says("Served", "pixel")
    await until(lambda: it.serving[0] == NEW, 5.0)
    written = [w.body["status"] for w in it.api.writes if w.name == "loraadapters/pixel/status"]
    said = [c for status in written[1:] for c in status.get("conditions", ()) if c["type"] == "Ready"]
    assert said
    assert all(c["status"] == "True" for c in said)


async def test_the_statuses_of_a_move_converge(it: Moving) -> None:
    """Both pools look at the adapter, and one writes."""
    it.new.phases[PIXEL] = AdapterPhase.DOWNLOADING
    it.edit("pixel", "other")
    await it.says("Moving", "pixel")
    await elapse(3.0)
    before = it.status_writes("pixel")
    await elapse(300.0)
    assert it.status_writes("pixel") == before
    assert before <= 4


async def test_a_pool_that_does_not_exist_takes_nothing_from_the_old_one(it: Moving) -> None:
    it.edit("pixel", "nowhere")
    await it.says("PoolNotFound", "pixel")
    await elapse(60.0)
    assert it.serving == (OLD, "True")
    assert set(it.old.entries) == {PIXEL}
    assert "there is no BaseModelPool default/nowhere" in it.condition("pixel", "Ready").message

    it.edit("pixel", "shapes")
    await it.says("Served", "pixel")
    assert it.serving == (OLD, "True")


async def test_a_pool_that_refuses_it_takes_nothing_from_the_old_one(it: Moving) -> None:
    it.put(make.adapter("first", pool="other", modelIds=["pixel"], age_s=99, metadata={"resourceVersion": "1"}))
    await it.says("Served", "first")
    it.edit("pixel", "other")
    await it.says("NameConflict", "pixel")
    await elapse(60.0)
    assert it.serving == (OLD, "True")
    assert set(it.old.entries) == {PIXEL}


async def test_when_the_old_pool_is_deleted_the_new_one_takes_over(it: Moving) -> None:
    it.new.phases[PIXEL] = AdapterPhase.DOWNLOADING
    it.edit("pixel", "other")
    await it.says("Moving", "pixel")
    it.gone("shapes")
    await it.says("Downloading", "pixel")
    assert it.serving == (NEW, "False")
    it.new.phases.clear()
    it.new.tell()
    await it.says("Served", "pixel")


async def test_pods_of_the_old_pool_that_fall_silent_do_not_end_the_move(it: Moving) -> None:
    it.new.phases[PIXEL] = AdapterPhase.DOWNLOADING
    it.edit("pixel", "other")
    await it.says("Moving", "pixel")
    it.pods.pods[IP].error = ControlError("nobody answers")
    it.old.tell()
    await elapse(30.0)
    assert it.status("pixel").pool_name == OLD
    it.new.phases.clear()
    it.new.tell()
    await until(lambda: it.serving == (NEW, "True"), 60.0)


async def test_an_operator_that_restarts_in_the_middle_goes_on(it: Moving) -> None:
    it.new.phases[PIXEL] = AdapterPhase.DOWNLOADING
    it.edit("pixel", "other")
    await it.says("Moving", "pixel")
    again = Moving(clock=LoopClock(), pods=it.pods, found=it.found)
    workers = Workers(again.context)
    again.listeners.append(workers.wake)
    for pool in ("shapes", "other"):
        known = it.cache.pools.get(f"default/{pool}")
        assert known is not None
        again.put(known)
    again.put(it.adapter("pixel"))
    await elapse(1.0)
    for ip, name, pool in ((IP, "p-1", "shapes"), (OTHER_IP, "q-1", "other")):
        again.start_pod(it.pods.pods[ip], ip, name, pool)
    await elapse(5.0)
    assert again.serving == (OLD, "True")
    it.new.phases.clear()
    it.new.tell()
    await until(lambda: again.serving == (NEW, "True"), 60.0)
    await workers.stop()


async def test_one_that_is_deleted_while_it_moves_leaves_both_pools_first(it: Moving) -> None:
    it.new.phases[PIXEL] = AdapterPhase.DOWNLOADING
    it.edit("pixel", "other")
    await it.says("Moving", "pixel")
    it.old.takes_s = 1.0
    it.delete("pixel")
    await until(lambda: it.is_let_go("pixel"), 5.0)
    assert not it.old.entries
    assert not it.new.entries
