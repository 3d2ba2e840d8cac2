"""What the engine does while nobody waits for a picture, and that nobody waits for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from tests.unit.runtime.queue.fakes import ScriptedEngine, ask, queue
from tests.waiting import until

from lorapool_common.changes import Changes
from lorapool_runtime.adapters.file import HostAdapter
from lorapool_runtime.engine.stub import StubAdapter
from lorapool_runtime.errors import Stopped
from lorapool_runtime.queue.dispatcher import Dispatcher
from lorapool_runtime.queue.idle_work import MergeLosses


@dataclass
class Adapters:
    """Adapters in memory, and what is known of them."""

    names: list[str]
    known: dict[str, float | None] = field(default_factory=dict)

    def unmeasured(self) -> HostAdapter | None:
        return next((StubAdapter(name, name, 1) for name in self.names if name not in self.known), None)

    def note_merge_loss(self, identity: str, loss: float | None) -> None:
        self.known[identity] = loss


@asynccontextmanager
async def measuring(adapters: Adapters, dispatcher: Dispatcher) -> AsyncIterator[Changes]:
    changes = Changes()
    running = asyncio.create_task(MergeLosses(adapters, dispatcher, changes, pause_s=0).run())
    try:
        yield changes
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_each_adapter_is_measured_once_on_the_engines_thread() -> None:
    engine = ScriptedEngine(losses={"a": 0.123456, "b": None})
    engine.gate.set()
    adapters = Adapters(["a", "b"])
    async with queue(engine) as dispatcher, measuring(adapters, dispatcher) as changes:
        await until(lambda: len(adapters.known) == 2, "both are measured")
        engine.losses["a"], engine.losses["c"] = 0.9, 0.5
        adapters.names.append("c")
        changes.note()
        await until(lambda: "c" in adapters.known, "the new one is measured")
        await ask(dispatcher, "a1", "a")
    assert adapters.known == {"a": 0.1235, "b": None, "c": 0.5}
    assert len(engine.threads) == 1


async def test_a_request_that_comes_stops_the_measuring_and_is_made() -> None:
    engine, adapters = ScriptedEngine(losses={"a": 0.5}), Adapters(["a"])
    async with queue(engine) as dispatcher, measuring(adapters, dispatcher) as changes:
        await asyncio.to_thread(engine.measuring.wait, 10)
        asked = ask(dispatcher, "a1", "a")
        await until(lambda: engine.served == ["a1"], "the engine has the request while nothing is measured yet")
        assert adapters.known == {}
        engine.gate.set()
        await asked
        changes.note()
        await until(lambda: adapters.known == {"a": 0.5}, "it is measured afterwards")


async def test_while_a_request_runs_nothing_is_measured() -> None:
    engine = ScriptedEngine(losses={"a": 0.5})
    async with queue(engine) as dispatcher:
        asked = ask(dispatcher, "a1", "a")
        await until(lambda: dispatcher.running == 1, "it runs")
        with pytest.raises(Stopped):
            await dispatcher.merge_loss(StubAdapter("a", "a", 1))
        engine.gate.set()
        await asked


async def test_an_adapter_that_cannot_be_measured_holds_up_no_other() -> None:
    engine = ScriptedEngine(losses={"b": 0.5})
    engine.gate.set()
    adapters = Adapters(["a", "b"])
    async with queue(engine) as dispatcher, measuring(adapters, dispatcher):
        await until(lambda: adapters.known == {"a": None, "b": 0.5}, "the second is measured")
