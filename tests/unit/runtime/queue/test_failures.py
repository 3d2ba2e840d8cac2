"""What fails ends no queue, and a broken device sends everybody elsewhere."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.unit.runtime.queue.fakes import (
    Disk,
    ScriptedEngine,
    ask,
    queue,
    until_running,
)

from lorapool_api.kinds.conditions import Reason
from lorapool_api.wire.reply import ErrorCode
from lorapool_runtime.adapters.file import HostAdapter
from lorapool_runtime.catalog.host.cache import HostCache
from lorapool_runtime.engine.contract import Recipe, RenderRequest
from lorapool_runtime.engine.result import Result
from lorapool_runtime.errors import AdapterError, DeviceLost, OutOfDeviceMemory, RequestError, Stopped
from lorapool_runtime.queue.dispatcher import Dispatcher
from lorapool_runtime.queue.entry import Outcome


async def test_what_fails_around_the_engine_ends_no_queue() -> None:
    class Odd(ScriptedEngine):
        def batch(self, recipe: Recipe) -> int:
            raise KeyError("no such size")

        def render(self, requests: Sequence[RenderRequest[HostAdapter]], waiting: int = 0) -> Sequence[Result]:
            made = super().render(requests, waiting)
            return [] if requests[0].recipe.prompt == "lost" else made

    def odd(_: Outcome) -> None:
        raise ZeroDivisionError("a defect of what counts pictures")

    engine = Odd()
    engine.gate.set()
    async with queue(engine, on_rendered=odd) as dispatcher, asyncio.timeout(10):
        await ask(dispatcher, "one")
        with pytest.raises(RequestError) as lost:
            await ask(dispatcher, "lost")
        await ask(dispatcher, "two")
    assert lost.value.code is ErrorCode.INTERNAL


class BrokenCache(HostCache):
    def holds(self, identity: str) -> bool:
        raise ZeroDivisionError("a defect of the queue")


async def test_a_queue_that_fails_ends_its_task_and_sends_everybody_elsewhere() -> None:
    disk = Disk()
    disk.cache = BrokenCache(1000, disk.readers)
    with ThreadPoolExecutor(1) as thread:
        dispatcher = Dispatcher(ScriptedEngine, thread, thread, thread, disk.cache, disk.load, 10, 30)
        serving = asyncio.create_task(dispatcher.run())
        with pytest.raises(RequestError) as refused:
            await ask(dispatcher, "one", "a")
        with pytest.raises(ZeroDivisionError):
            await serving
        with pytest.raises(RequestError) as later:
            await ask(dispatcher, "two")
    assert (refused.value.code, refused.value.retryable) == (ErrorCode.NOT_READY, True)
    assert (later.value.code, later.value.retryable) == (ErrorCode.NOT_READY, True)


@pytest.mark.parametrize(
    ("error", "retryable"),
    [
        (ValueError("shapes"), False),
        (TypeError("None"), False),
        (RuntimeError("sizes of tensors"), False),
        (KeyError("a"), False),
        (OutOfDeviceMemory("no room"), False),
        (OSError("the disk"), True),
        (DeviceLost("an illegal access"), True),
    ],
)
async def test_what_would_fail_again_is_not_worth_a_retry(error: Exception, retryable: bool) -> None:
    engine = ScriptedEngine(errors={"one": error})
    engine.gate.set()
    async with queue(engine) as dispatcher:
        with pytest.raises(RequestError) as refused:
            await ask(dispatcher, "one")
    assert refused.value.retryable is retryable


async def test_no_image_in_time_is_not_worth_a_retry() -> None:
    async with queue(ScriptedEngine(), timeout_s=0.05) as dispatcher:
        with pytest.raises(RequestError) as late:
            await ask(dispatcher, "slow")
    assert (late.value.code, late.value.retryable) == (ErrorCode.TIMEOUT, False)


async def test_a_lost_device_sends_everybody_elsewhere_at_once() -> None:
    engine = ScriptedEngine(errors={"a1": DeviceLost("an illegal memory access")})
    lost: list[str] = []
    async with queue(engine, on_lost=lost.append) as dispatcher:
        first = ask(dispatcher, "a1", "a")
        await until_running(dispatcher)
        second = ask(dispatcher, "b1", "b")
        await until_running(dispatcher, pending=1)
        engine.gate.set()
        for refused in await asyncio.gather(first, second, return_exceptions=True):
            assert isinstance(refused, RequestError)
            assert (refused.code, refused.retryable) == (ErrorCode.NOT_READY, True)
        with pytest.raises(RequestError):
            dispatcher.check_room()
    assert engine.served == ["a1"]
    assert len(lost) == 1
    assert "an illegal memory access" in lost[0]


@pytest.mark.parametrize("broken", [None, RuntimeError("cuDNN")])
async def test_after_three_defects_in_a_row_the_bare_base_is_tried(broken: Exception | None) -> None:
    odd = ZeroDivisionError("a defect")
    engine = ScriptedEngine(errors={f"bad{i}": odd for i in range(4)}, broken=broken)
    engine.gate.set()
    lost: list[str] = []
    async with queue(engine, on_lost=lost.append) as dispatcher:
        await asyncio.gather(*(ask(dispatcher, f"bad{i}") for i in range(2)), return_exceptions=True)
        await ask(dispatcher, "good")
        await asyncio.gather(*(ask(dispatcher, f"bad{i}") for i in range(2)), return_exceptions=True)
        assert engine.checks == 0, "a good one between them"
        await asyncio.gather(ask(dispatcher, "bad2"), return_exceptions=True)
        if broken is None:
            await ask(dispatcher, "good")
        else:
            with pytest.raises(RequestError) as refused:
                await ask(dispatcher, "good")
            assert refused.value.code is ErrorCode.NOT_READY
    assert engine.checks == 1
    assert len(lost) == (broken is not None)


async def test_adapters_that_are_refused_say_nothing_against_the_device() -> None:
    engine = ScriptedEngine(errors={f"b{i}": AdapterError(Reason.INVALID_WEIGHTS, "not finite") for i in range(9)})
    engine.gate.set()
    async with queue(engine) as dispatcher:
        await asyncio.gather(*(ask(dispatcher, f"b{i}", "b") for i in range(9)), return_exceptions=True)
    assert engine.checks == 0


async def test_a_render_that_never_ends_is_overdue_after_its_deadline() -> None:
    now = 100.0

    class Hung(ScriptedEngine):
        def render(self, requests: Sequence[RenderRequest[HostAdapter]], waiting: int = 0) -> Sequence[Result]:
            self.served.append("hung")
            self.gate.wait(30)
            return [Stopped() for _ in requests]

    engine = Hung()
    async with queue(engine, timeout_s=20, clock=lambda: now) as dispatcher:
        hung = ask(dispatcher, "a")
        async with asyncio.timeout(10):
            while not engine.served:  # noqa: ASYNC110 -- it has no event
                await asyncio.sleep(0)
        assert dispatcher.overdue_s == 0
        now = 119.0
        assert dispatcher.overdue_s == 0
        now = 151.0
        assert dispatcher.overdue_s == 31
        dispatcher.fail("hung")
        with pytest.raises(RequestError) as refused:
            await hung
        async with asyncio.timeout(5):
            await dispatcher.stop(grace_s=1000)
    assert (refused.value.code, refused.value.retryable) == (ErrorCode.NOT_READY, True)
