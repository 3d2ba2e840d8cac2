"""On what terms requests wait: whose they are, how urgent, and until when anybody wants them."""

import asyncio

import pytest
from tests.unit.runtime.queue.fakes import ScriptedEngine, adapter, queue, recipe, until_running

from lorapool_api.wire.reply import ErrorCode
from lorapool_runtime.engine.contract import RenderRequest
from lorapool_runtime.errors import RequestError
from lorapool_runtime.queue.dispatcher import Dispatcher
from lorapool_runtime.queue.entry import Outcome
from lorapool_runtime.queue.fair.terms import QueueTerms


def ask(dispatcher: Dispatcher, prompt: str, caller: str, **terms: float) -> "asyncio.Task[Outcome]":
    """A request whose adapter is the first letter of its prompt."""
    priority = int(terms.get("priority", 0))
    waits = dispatcher.terms(caller, priority, terms.get("within_s"))
    return asyncio.create_task(dispatcher.render(RenderRequest(recipe(prompt), (adapter(prompt[0]),)), waits))


async def test_a_caller_that_floods_waits_for_itself() -> None:
    """Each takes longer than a slice: the other's turn comes at once."""
    engine = ScriptedEngine()
    async with queue(engine, cost_s=lambda _: 8.0) as dispatcher:
        tasks = [ask(dispatcher, "a0", "flood")]
        await until_running(dispatcher)
        tasks += [ask(dispatcher, f"a{number}", "flood") for number in range(1, 5)]
        tasks.append(ask(dispatcher, "b1", "quiet"))
        await until_running(dispatcher, pending=5)
        engine.gate.set()
        await asyncio.gather(*tasks)
    assert engine.served == ["a0", "b1", "a1", "a2", "a3", "a4"]


async def test_the_most_urgent_comes_first() -> None:
    engine = ScriptedEngine()
    async with queue(engine) as dispatcher:
        tasks = [ask(dispatcher, "a0", "a")]
        await until_running(dispatcher)
        tasks += [ask(dispatcher, "a1", "a"), ask(dispatcher, "b1", "b", priority=2), ask(dispatcher, "a2", "a")]
        await until_running(dispatcher, pending=3)
        engine.gate.set()
        await asyncio.gather(*tasks)
    assert engine.served == ["a0", "b1", "a1", "a2"]


async def test_in_a_full_queue_a_flood_makes_room_for_others_and_not_for_itself() -> None:
    engine = ScriptedEngine()
    async with queue(engine, max_pending=3) as dispatcher:
        running = ask(dispatcher, "a0", "flood")
        await until_running(dispatcher)
        flood = [ask(dispatcher, f"a{number}", "flood") for number in range(1, 4)]
        await until_running(dispatcher, pending=3)
        with pytest.raises(RequestError) as more:
            await ask(dispatcher, "a4", "flood")
        quiet = ask(dispatcher, "b1", "quiet")
        with pytest.raises(RequestError) as displaced:
            await flood[2]
        assert dispatcher.pending == 3
        engine.gate.set()
        await asyncio.gather(running, flood[0], flood[1], quiet)
    for refused in (more, displaced):
        assert (refused.value.code, refused.value.retryable) == (ErrorCode.TOO_MANY_PENDING, True)
    assert sorted(engine.served) == ["a0", "a1", "a2", "b1"]


async def test_what_cannot_be_made_in_time_is_refused_at_once() -> None:
    engine = ScriptedEngine()
    async with queue(engine, timeout_s=100, cost_s=lambda _: 10.0, clock=lambda: 0.0) as dispatcher:
        tasks = [ask(dispatcher, "a0", "a")]
        await until_running(dispatcher)
        tasks += [ask(dispatcher, "a1", "a")]
        await until_running(dispatcher, pending=1)
        with pytest.raises(RequestError, match=r"would wait 20\.0 s and take 10\.0 s") as refused:
            await ask(dispatcher, "a2", "a", within_s=29)
        assert dispatcher.pending == 1
        # Behind less: the other's requests wait for themselves.
        tasks += [ask(dispatcher, "b1", "b", within_s=29), ask(dispatcher, "a3", "a", within_s=45)]
        await until_running(dispatcher, pending=3)
        engine.gate.set()
        await asyncio.gather(*tasks)
    assert (refused.value.code, refused.value.retryable) == (ErrorCode.DEADLINE_TOO_SOON, True)


async def test_nothing_is_refused_by_a_guess() -> None:
    """Before anything is measured nobody knows how long a request takes."""
    engine = ScriptedEngine()
    engine.gate.set()
    async with queue(engine) as dispatcher:
        await ask(dispatcher, "a1", "a", within_s=5)
    assert engine.served == ["a1"]


async def test_a_deadline_that_passes_in_the_queue_ends_the_request_undrawn() -> None:
    engine = ScriptedEngine()
    async with queue(engine) as dispatcher:
        running = ask(dispatcher, "a0", "a")
        await until_running(dispatcher)
        with pytest.raises(RequestError) as late:
            await ask(dispatcher, "b1", "b", within_s=0.01)
        engine.gate.set()
        await running
        await ask(dispatcher, "c1", "c")
    assert late.value.code is ErrorCode.TIMEOUT
    assert engine.served == ["a0", "c1"]


def test_who_says_nothing_waits_as_the_pool_has_it() -> None:
    assert QueueTerms() == QueueTerms("", 0, None)
