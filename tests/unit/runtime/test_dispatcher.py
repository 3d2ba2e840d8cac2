"""The queue around the engine's thread: who is served, who is not, and that nothing stops it."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lorapool_api.kinds.adapter import AdapterFormat
from lorapool_api.kinds.conditions import Reason
from lorapool_api.kinds.serving import SchedulerName
from lorapool_api.lora.facts import AdapterFacts
from lorapool_api.wire.reply import ErrorCode
from lorapool_runtime.adapters.file import AdapterFile, HostAdapter, ScaledAdapter
from lorapool_runtime.catalog.host_cache import HostCache
from lorapool_runtime.catalog.readers import Readers
from lorapool_runtime.engine.contract import (
    Recipe,
    Rendering,
    RenderRequest,
    Result,
    Step,
)
from lorapool_runtime.engine.stub import StubAdapter
from lorapool_runtime.errors import AdapterError, DeviceLost, OutOfDeviceMemory, RequestError, Stopped
from lorapool_runtime.queue.dispatcher import Dispatcher
from lorapool_runtime.queue.entry import Outcome
from lorapool_runtime.queue.policy import DEFAULT_RULES, QueueRules


@dataclass
class ScriptedEngine:
    """Renders when the test lets it; what it was asked for is written down."""

    gate: threading.Event = field(default_factory=threading.Event)
    errors: dict[str, Exception] = field(default_factory=dict)
    served: list[str] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)

    rows: int = 1
    switch_s: float = 0
    mixing: bool = False
    ahead: list[str] = field(default_factory=list)
    checks: int = 0
    broken: Exception | None = None

    def batch(self, recipe: Recipe) -> int:
        return self.rows

    def mixes(self, adapter: HostAdapter) -> bool:
        return self.mixing

    def render(self, requests: Sequence[RenderRequest[HostAdapter]], waiting: int = 0) -> Sequence[Result]:
        self.threads.add(threading.get_ident())
        prompts = [request.recipe.prompt for request in requests]
        self.served.append("+".join(prompts))
        while not self.gate.wait(0.005):
            if all(request.stop() for request in requests):
                return [Stopped() for _ in requests]
        for prompt in prompts:
            if prompt in self.errors:
                raise self.errors[prompt]
        for request in requests:
            request.on_step(Step(1, 1))
        return [Rendering((), 0, self.switch_s, 0, rows=len(requests)) for _ in requests]

    def prefetch(self, adapters: Sequence[HostAdapter]) -> None:
        self.ahead += [adapter.identity for adapter in adapters]

    def check(self) -> None:
        self.checks += 1
        if self.broken is not None:
            raise self.broken


def recipe(prompt: str) -> Recipe:
    return Recipe(prompt, "", 64, 64, 1, 1.0, SchedulerName.EULER, 0, 1)


def adapter(name: str) -> ScaledAdapter[AdapterFile]:
    file = AdapterFile(Path(name), name, AdapterFacts(AdapterFormat.KOHYA, (), 1))
    return ScaledAdapter(file, 1.0, f"default/{name}")


@dataclass
class Disk:
    """Files that are read at once, when the test lets it, or not at all."""

    closed: dict[str, asyncio.Event] = field(default_factory=dict)
    errors: dict[str, RequestError] = field(default_factory=dict)
    read: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.readers = Readers(self._no_thread)
        self.cache = HostCache(1000, self.readers)

    def _no_thread(self, file: AdapterFile) -> HostAdapter:
        raise NotImplementedError

    async def load(self, wanted: ScaledAdapter[AdapterFile]) -> HostAdapter:
        name = wanted.adapter.identity
        self.read.append(name)
        if name in self.closed:
            await self.closed[name].wait()
        if name in self.errors:
            raise self.errors[name]
        return StubAdapter(name, name, 1)


@contextlib.asynccontextmanager
async def queue(
    engine: ScriptedEngine,
    max_pending: int = 10,
    timeout_s: float = 30,
    rules: QueueRules = DEFAULT_RULES,
    disk: Disk | None = None,
    **options: Any,
) -> AsyncIterator[Dispatcher]:
    files = disk or Disk()
    with ThreadPoolExecutor(1) as thread, ThreadPoolExecutor(1) as ahead:
        dispatcher = Dispatcher(
            lambda: engine, thread, ahead, files.cache, files.load, max_pending, timeout_s, rules=rules, **options
        )
        serving = asyncio.create_task(dispatcher.run())
        try:
            yield dispatcher
        finally:
            engine.gate.set()
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)


def ask(dispatcher: Dispatcher, prompt: str, name: str | None = None) -> "asyncio.Task[Outcome]":
    return asyncio.create_task(dispatcher.render(RenderRequest(recipe(prompt), (adapter(name),) if name else ())))


async def until_running(dispatcher: Dispatcher, pending: int = 0) -> None:
    async with asyncio.timeout(10):
        while dispatcher.running != 1 or dispatcher.pending != pending:  # noqa: ASYNC110 -- it has no event
            await asyncio.sleep(0)


async def served_after(
    engine: ScriptedEngine, first: str, *others: str, rules: QueueRules = DEFAULT_RULES
) -> list[Outcome]:
    """What becomes of requests that come while the first one runs; a prompt begins with its adapter's name."""
    async with queue(engine, rules=rules) as dispatcher:
        tasks = [ask(dispatcher, first, first[0])]
        await until_running(dispatcher)
        tasks += [ask(dispatcher, prompt, prompt[0]) for prompt in others]
        await until_running(dispatcher, pending=len(others))
        engine.gate.set()
        return await asyncio.gather(*tasks)


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


# ---- weights come before their turn, and hold up nobody --------------------------------------------------------


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


# ---- defects end no queue --------------------------------------------------------------------------------------


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
        dispatcher = Dispatcher(ScriptedEngine, thread, thread, disk.cache, disk.load, 10, 30)
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


# ---- a broken device -------------------------------------------------------------------------------------------


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
        dispatcher.lose("hung")
        with pytest.raises(RequestError) as refused:
            await hung
        async with asyncio.timeout(5):
            await dispatcher.stop(grace_s=1000)
    assert (refused.value.code, refused.value.retryable) == (ErrorCode.NOT_READY, True)
