"""The end of one request beside the beginning of the next."""

import asyncio
import threading
from collections.abc import Callable, Sequence

import pytest
from tests.unit.runtime.queue.fakes import ScriptedEngine, ask, queue

from lorapool_api.kinds.conditions import Reason
from lorapool_api.wire.reply import ErrorCode
from lorapool_runtime.adapters.file import HostAdapter
from lorapool_runtime.engine.contract import RenderRequest
from lorapool_runtime.engine.result import Rendering, Result, Unfinished
from lorapool_runtime.errors import AdapterError, RequestError

WAIT_S = 10


class LateEngine(ScriptedEngine):
    """Leaves the end of each request to somebody else: it waits there until the engine has begun `beside` requests."""

    def __init__(self, beside: int = 1, ends: dict[str, Exception] | None = None) -> None:
        super().__init__()
        self.gate.set()
        self.ends = ends or {}
        self.enough = threading.Event()
        self.begun = 0
        self.beside = beside
        self.finished: list[tuple[str, int]] = []

    def render(self, requests: Sequence[RenderRequest[HostAdapter]], waiting: int = 0) -> Sequence[Result]:
        self.begun += 1
        if self.begun >= self.beside:
            self.enough.set()
        made = super().render(requests, waiting)
        return [
            Unfinished(self._end(request.recipe.prompt, result))
            for request, result in zip(requests, made, strict=True)
            if isinstance(result, Rendering)
        ]

    def _end(self, prompt: str, made: Rendering) -> Callable[[], Rendering]:
        def end() -> Rendering:
            assert self.enough.wait(WAIT_S), "nothing was begun beside it"
            self.finished.append((prompt, threading.get_ident()))
            if prompt in self.ends:
                raise self.ends[prompt]
            return made

        return end


async def test_the_next_request_is_begun_before_the_last_one_is_finished() -> None:
    engine = LateEngine(beside=2)
    async with queue(engine) as dispatcher, asyncio.timeout(WAIT_S):
        await asyncio.gather(ask(dispatcher, "one"), ask(dispatcher, "two"))
        assert dispatcher.running == 0
    assert engine.served == ["one", "two"]
    assert [prompt for prompt, _ in engine.finished] == ["one", "two"]
    assert not engine.threads & {thread for _, thread in engine.finished}


async def test_the_engine_is_two_requests_ahead_at_most() -> None:
    """What is unfinished has pixels in memory."""
    engine = LateEngine(beside=99)
    async with queue(engine) as dispatcher, asyncio.timeout(WAIT_S):
        tasks = [ask(dispatcher, prompt) for prompt in ("one", "two", "three")]
        while engine.begun < 2 or dispatcher.pending > 1:  # noqa: ASYNC110 -- it has no event
            await asyncio.sleep(0)
        assert (dispatcher.running, dispatcher.pending) == (2, 1)
        engine.enough.set()
        await asyncio.gather(*tasks)
    assert engine.served == ["one", "two", "three"]


@pytest.mark.parametrize(
    ("error", "code", "checks"),
    [
        (AdapterError(Reason.INVALID_WEIGHTS, "not finite"), ErrorCode.ADAPTER_FAILED, 0),
        (ArithmeticError("the base made no picture"), ErrorCode.INTERNAL, 0),
        (RuntimeError("CUDA error"), ErrorCode.INTERNAL, 1),
    ],
)
async def test_what_fails_at_the_end_is_that_requests_failure_alone(
    error: Exception, code: ErrorCode, checks: int
) -> None:
    engine = LateEngine(ends={"bad": error})
    async with queue(engine) as dispatcher, asyncio.timeout(WAIT_S):
        bad, good = ask(dispatcher, "bad"), ask(dispatcher, "good")
        with pytest.raises(RequestError) as refused:
            await bad
        assert (await good).rendering.rows == 1
    assert refused.value.code is code
    assert engine.checks == checks


async def test_a_device_that_fails_at_the_end_and_in_its_check_is_lost() -> None:
    engine = LateEngine(ends={"bad": RuntimeError("CUDA error: an illegal memory access")})
    engine.broken = RuntimeError("CUDA error: an illegal memory access")
    lost: list[str] = []
    async with queue(engine, on_lost=lost.append) as dispatcher, asyncio.timeout(WAIT_S):
        with pytest.raises(RequestError) as refused:
            await ask(dispatcher, "bad")
        assert (refused.value.code, refused.value.retryable) == (ErrorCode.NOT_READY, True)
    assert len(lost) == 1


async def test_an_end_that_hangs_is_overdue_after_its_deadline() -> None:
    now = 100.0
    engine = LateEngine(beside=99)
    async with queue(engine, timeout_s=20, clock=lambda: now) as dispatcher, asyncio.timeout(WAIT_S):
        hung = ask(dispatcher, "a")
        while not engine.begun or dispatcher.overdue_s or dispatcher.pending:  # noqa: ASYNC110 -- it has no event
            await asyncio.sleep(0)
        now = 151.0
        while dispatcher.overdue_s != 31:  # noqa: ASYNC110 -- it has no event
            await asyncio.sleep(0)
        engine.enough.set()
        await hung


async def test_time_that_two_requests_share_counts_once() -> None:
    now = 0.0

    class Timed(LateEngine):
        def render(self, requests: Sequence[RenderRequest[HostAdapter]], waiting: int = 0) -> Sequence[Result]:
            nonlocal now
            now += 10
            return super().render(requests, waiting)

    engine = Timed(beside=2)
    async with queue(engine, timeout_s=600, clock=lambda: now) as dispatcher, asyncio.timeout(WAIT_S):
        await asyncio.gather(ask(dispatcher, "one"), ask(dispatcher, "two"))
        while dispatcher.running:  # noqa: ASYNC110 -- it has no event
            await asyncio.sleep(0)
        assert dispatcher.busy_s == 20


async def test_who_stops_waits_for_what_is_not_finished() -> None:
    engine = LateEngine(beside=99)
    async with queue(engine) as dispatcher, asyncio.timeout(WAIT_S):
        made = ask(dispatcher, "one")
        while not engine.begun:  # noqa: ASYNC110 -- it has no event
            await asyncio.sleep(0)
        stopping = asyncio.create_task(dispatcher.stop(WAIT_S))
        await asyncio.sleep(0)
        assert not stopping.done()
        engine.enough.set()
        assert (await made).rendering.rows == 1
        await stopping
