"""Weights come before their turn, and hold up nobody."""

import asyncio

from tests.unit.runtime.queue.fakes import (
    Disk,
    ScriptedEngine,
    ask,
    queue,
    until_running,
)

from lorapool_api.wire.reply import ErrorCode
from lorapool_runtime.errors import RequestError


async def test_a_file_that_takes_long_to_read_holds_up_no_other_request() -> None:
    engine, disk = ScriptedEngine(), Disk(closed={"slow": asyncio.Event()})
    engine.gate.set()
    async with queue(engine, disk=disk) as dispatcher:
        slow = ask(dispatcher, "first", "slow")
        await asyncio.gather(*(ask(dispatcher, f"other {i}", f"quick{i}") for i in range(8)))
        assert not slow.done()
        disk.closed["slow"].set()
        await slow
    assert engine.served[-1] == "first"


async def test_weights_are_let_go_when_the_picture_is_made_or_nobody_wants_it() -> None:
    engine, disk = ScriptedEngine(), Disk()
    async with queue(engine, disk=disk) as dispatcher:
        first = ask(dispatcher, "a1", "a")
        await until_running(dispatcher)
        second = ask(dispatcher, "b1", "b")
        await until_running(dispatcher, pending=1)
        second.cancel()
        engine.gate.set()
        await first
        await asyncio.gather(second, return_exceptions=True)
        await ask(dispatcher, "c1", "c")
        for name in "abc":
            disk.cache.drop(name)
        assert disk.cache.size_bytes == 0


async def test_a_file_that_cannot_be_read_fails_the_requests_for_it_alone() -> None:
    error = RequestError(ErrorCode.ADAPTER_FAILED, "adapter default/bad: not finite")
    engine, disk = ScriptedEngine(), Disk(errors={"bad": error})
    engine.gate.set()
    async with queue(engine, disk=disk) as dispatcher:
        bad = [ask(dispatcher, f"b{i}", "bad") for i in range(2)]
        await ask(dispatcher, "good", "g")
        assert [e.code for e in await asyncio.gather(*bad, return_exceptions=True)] == [ErrorCode.ADAPTER_FAILED] * 2  # type: ignore[union-attr]
