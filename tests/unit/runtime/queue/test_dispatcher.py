"""The queue around the engine's thread: who is served and who is not."""

import asyncio
import threading

import pytest
from tests.unit.runtime.queue.fakes import (
    ScriptedEngine,
    ask,
    queue,
    recipe,
    served_after,
    until_running,
)

from lorapool_api.kinds.conditions import Reason
from lorapool_api.wire.reply import ErrorCode
from lorapool_runtime.engine.contract import RenderRequest, Step
from lorapool_runtime.errors import AdapterError, OutOfDeviceMemory, RequestError
from lorapool_runtime.queue.policy import QueueRules


async def test_requests_for_the_same_adapter_are_served_together() -> None:
    engine = ScriptedEngine()
    await served_after(engine, "a1", "b1", "a2", "b2")
    assert engine.served == ["a1", "a2", "b1", "b2"]
    assert len(engine.threads) == 1


@pytest.mark.parametrize(
    ("switch_s", "expected"),
    [(0.0, ["a1", "b1", "a2", "b2"]), (100.0, ["a1", "a2", "b1", "b2"])],
)
async def test_an_adapter_that_took_long_to_be_put_in_force_stays_longer(switch_s: float, expected: list[str]) -> None:
    """Nobody is patient here: without a reason each request would be a switch."""
    engine = ScriptedEngine(switch_s=switch_s)
    await served_after(engine, "a1", "b1", "a2", "b2", rules=QueueRules(patience_s=-1, slice_s=0))
    assert engine.served == expected


async def test_requests_of_one_shape_share_a_forward_where_that_pays() -> None:
    engine = ScriptedEngine(rows=2, mixing=True)
    outcomes = await served_after(engine, "a1", "b1", "c1", "b2")
    assert engine.served == ["a1", "b1+b2", "c1"]
    assert [outcome.rendering.rows for outcome in outcomes] == [1, 2, 1, 2]


async def test_adapters_that_do_not_mix_wait_for_each_other() -> None:
    engine = ScriptedEngine(rows=4, mixing=False)
    await served_after(engine, "a1", "b1", "c1", "b2")
    assert engine.served == ["a1", "b1+b2", "c1"]


async def test_what_fails_in_a_batch_is_tried_alone_and_fails_alone() -> None:
    engine = ScriptedEngine(rows=3, mixing=True, errors={"bad": AdapterError(Reason.INVALID_WEIGHTS, "not finite")})
    async with queue(engine) as dispatcher:
        first = ask(dispatcher, "first")
        await until_running(dispatcher)
        bad, good = ask(dispatcher, "bad", "b"), ask(dispatcher, "good", "c")
        await until_running(dispatcher, pending=2)
        engine.gate.set()
        await asyncio.gather(first, good)
        with pytest.raises(RequestError, match="default/b"):
            await bad
    assert engine.served == ["first", "bad+good", "bad", "good"]


async def test_while_one_is_made_the_next_adapter_is_brought_nearer() -> None:
    engine = ScriptedEngine()
    async with queue(engine) as dispatcher:
        first = ask(dispatcher, "a1", "a")
        await until_running(dispatcher)
        others = [ask(dispatcher, "b1", "b"), ask(dispatcher, "c1", "c")]
        async with asyncio.timeout(10):
            while engine.ahead != ["b"]:  # noqa: ASYNC110 -- it has no event
                await asyncio.sleep(0)
        assert engine.served == ["a1"]
        engine.gate.set()
        await asyncio.gather(first, *others)


async def test_steps_are_told_on_the_event_loop() -> None:
    engine = ScriptedEngine()
    engine.gate.set()
    heard: list[tuple[Step, int]] = []
    async with queue(engine) as dispatcher:
        await dispatcher.render(
            RenderRequest(recipe("a"), on_step=lambda step: heard.append((step, threading.get_ident())))
        )
    assert heard == [(Step(1, 1), threading.get_ident())]


async def test_one_failure_is_one_requests_failure() -> None:
    engine = ScriptedEngine(
        errors={
            "bad": AdapterError(Reason.INVALID_WEIGHTS, "not finite"),
            "odd": ZeroDivisionError("a defect"),
            "large": OutOfDeviceMemory("no room"),
        }
    )
    engine.gate.set()
    async with queue(engine) as dispatcher:
        with pytest.raises(RequestError) as bad:
            await ask(dispatcher, "bad", "a")
        with pytest.raises(RequestError) as odd:
            await ask(dispatcher, "odd")
        with pytest.raises(RequestError) as large:
            await ask(dispatcher, "large")
        await ask(dispatcher, "good")
    assert (bad.value.code, bad.value.reason) == (ErrorCode.ADAPTER_FAILED, Reason.INVALID_WEIGHTS)
    assert "default/a" in bad.value.message
    assert odd.value.code is ErrorCode.INTERNAL
    assert (large.value.code, large.value.retryable) == (ErrorCode.OUT_OF_MEMORY, False)


async def test_a_waiting_request_whose_client_has_gone_is_never_served() -> None:
    engine = ScriptedEngine()
    async with queue(engine) as dispatcher:
        first = ask(dispatcher, "first")
        await until_running(dispatcher)
        second = ask(dispatcher, "second")
        await until_running(dispatcher, pending=1)
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        assert dispatcher.pending == 0
        engine.gate.set()
        await first
        await ask(dispatcher, "third")
    assert engine.served == ["first", "third"]


async def test_a_running_request_whose_client_has_gone_is_given_up() -> None:
    engine = ScriptedEngine()
    async with queue(engine) as dispatcher:
        first = ask(dispatcher, "first")
        await until_running(dispatcher)
        first.cancel()
        async with asyncio.timeout(10):
            while dispatcher.running:  # noqa: ASYNC110 -- it has no event
                await asyncio.sleep(0)


async def test_a_request_that_takes_too_long_ends_with_a_timeout() -> None:
    async with queue(ScriptedEngine(), timeout_s=0.1) as dispatcher:
        with pytest.raises(RequestError) as late:
            await ask(dispatcher, "slow")
        assert late.value.code is ErrorCode.TIMEOUT
        assert dispatcher.pending == 0


async def test_stopping_finishes_what_runs_and_sends_the_rest_elsewhere() -> None:
    engine = ScriptedEngine()
    async with queue(engine) as dispatcher:
        first = ask(dispatcher, "first")
        await until_running(dispatcher)
        second = ask(dispatcher, "second")
        await until_running(dispatcher, pending=1)
        stopping = asyncio.create_task(dispatcher.stop(grace_s=10))
        with pytest.raises(RequestError) as refused:
            await second
        with pytest.raises(RequestError) as late:
            await ask(dispatcher, "third")
        engine.gate.set()
        await first
        await stopping
    assert (refused.value.code, refused.value.retryable) == (ErrorCode.NOT_READY, True)
    assert late.value.code is ErrorCode.NOT_READY
    assert engine.served == ["first"]


async def test_what_still_runs_after_the_grace_period_is_given_up() -> None:
    engine = ScriptedEngine()
    async with queue(engine) as dispatcher:
        first = ask(dispatcher, "first")
        await until_running(dispatcher)
        await dispatcher.stop(grace_s=0.05)
        with pytest.raises(RequestError) as refused:
            await first
        assert refused.value.code is ErrorCode.NOT_READY
