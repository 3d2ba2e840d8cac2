"""When the engine falls asleep, and that whoever comes wakes it."""

import asyncio
from dataclasses import dataclass, field

import pytest
from tests.unit.runtime.queue.fakes import ScriptedEngine, ask, queue
from tests.virtual_time import VirtualTimeLoop, elapse, now_s
from tests.waiting import until

from lorapool_api.wire.reply import ErrorCode
from lorapool_runtime.engine.stub import StubAdapter
from lorapool_runtime.errors import CannotSleep, CannotWake, DeviceLost, RequestError, Stopped
from lorapool_runtime.queue.sleep.timer import AGAIN_S, SleepStep, SleepTimer, next_step


@pytest.mark.parametrize(
    ("after_s", "idle_s", "is_asleep", "wanted"),
    [
        (None, 10**6, False, SleepStep.NOTHING),
        (None, 10**6, True, SleepStep.WAKE),
        (600, 599.9, False, SleepStep.NOTHING),
        (600, 600, False, SleepStep.SLEEP),
        (600, 600, True, SleepStep.NOTHING),
        (600, 0, True, SleepStep.NOTHING),
    ],
)
def test_the_decision(after_s: float | None, idle_s: float, is_asleep: bool, wanted: SleepStep) -> None:
    assert next_step(after_s, idle_s, is_asleep=is_asleep) is wanted


@dataclass
class Queue:
    """A queue on the loop's clock, whose engine sleeps as it is told; what happened, and when."""

    asked_s: float = 0
    is_asleep: bool = False
    sleeps: bool = True
    wakes: bool = True
    happened: list[tuple[str, float]] = field(default_factory=list)

    @property
    def idle_s(self) -> float:
        return now_s() - self.asked_s

    async def fall_asleep(self) -> None:
        self.happened.append(("sleep", now_s()))
        self.is_asleep = self.sleeps

    async def wake_up(self) -> None:
        self.happened.append(("wake", now_s()))
        if not self.wakes:
            raise CannotWake("no room")
        self.is_asleep = False


@dataclass
class Night:
    """A timer, and what it goes by."""

    queue: Queue = field(default_factory=Queue)
    after_s: float | None = None
    waiting: int = 0
    loads_s: float = 0

    async def pass_by(self, *steps: tuple[float, dict[str, object]]) -> list[tuple[str, float]]:
        """What happened, in seconds since the beginning; after so many seconds of each step that is changed."""
        begin_s = self.queue.asked_s = now_s()
        timer = SleepTimer(self._load, self.queue, lambda: self.after_s, lambda: self.waiting, clock=now_s)
        running = asyncio.create_task(timer.run())
        for seconds, change in steps:
            await elapse(seconds)
            for name, value in change.items():
                setattr(self.queue if hasattr(self.queue, name) else self, name, value)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return [(what, round(at - begin_s)) for what, at in self.queue.happened]

    async def _load(self) -> None:
        await asyncio.sleep(self.loads_s)


def run(night: Night, *steps: tuple[float, dict[str, object]]) -> list[tuple[str, float]]:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(night.pass_by(*steps))


def test_it_sleeps_when_nobody_has_asked_for_so_long_and_not_before_somebody_wants_that() -> None:
    assert run(Night(), (3600, {})) == []
    assert run(Night(after_s=600), (599, {}), (3000, {})) == [("sleep", 600)]
    assert run(Night(), (999.5, {"after_s": 600}), (100, {})) == [("sleep", 1000)]


def test_the_time_until_its_base_is_warm_is_no_time_in_which_nobody_asked() -> None:
    assert run(Night(after_s=60, loads_s=300), (359, {}), (10, {})) == [("sleep", 360)]


def test_a_request_that_waits_for_its_file_keeps_it_awake() -> None:
    assert run(Night(after_s=60, waiting=1), (599.5, {"waiting": 0}), (10, {})) == [("sleep", 600)]


def test_who_wants_no_sleep_any_more_has_it_awake() -> None:
    told = run(Night(after_s=60), (99.5, {"after_s": None}), (100, {}))
    assert told == [("sleep", 60), ("wake", 100)]


def test_what_cannot_be_done_is_tried_again_now_and_then() -> None:
    told = run(Night(Queue(sleeps=False), after_s=60), (60 + 2.5 * AGAIN_S, {}))
    assert told == [("sleep", 60), ("sleep", 120), ("sleep", 180)]
    told = run(Night(Queue(is_asleep=True, wakes=False)), (2.5 * AGAIN_S, {}))
    assert told == [("wake", 0), ("wake", 60), ("wake", 120)]


async def test_a_request_wakes_the_engine_and_is_made() -> None:
    engine, changes = ScriptedEngine(), list[None]()
    engine.gate.set()
    async with queue(engine, on_sleep=lambda: changes.append(None)) as dispatcher:
        await dispatcher.fall_asleep()
        await dispatcher.fall_asleep()
        assert dispatcher.is_asleep
        with pytest.raises(Stopped):
            await dispatcher.merge_loss(StubAdapter("a", "a", 1))
        await asyncio.gather(ask(dispatcher, "a1", "a"), ask(dispatcher, "a2", "a"))
        assert not dispatcher.is_asleep
    assert engine.served == ["(sleep)", "(wake)", "a1", "a2"]
    assert len(engine.threads) == 1
    assert len(changes) == 2
    assert (dispatcher.sleep.wakes, dispatcher.sleep.problem) == (1, "")
    assert dispatcher.sleep.asleep_s > 0


async def test_a_request_that_comes_while_it_falls_asleep_is_made_at_once() -> None:
    engine = ScriptedEngine()
    async with queue(engine) as dispatcher:
        falling = asyncio.create_task(dispatcher.fall_asleep())
        await asyncio.to_thread(engine.falling_asleep.wait, 10)
        asked = ask(dispatcher, "a1", "a")
        await falling
        assert not dispatcher.is_asleep
        await until(lambda: engine.served == ["a1"], "the engine has the request")
        engine.gate.set()
        await asked
    assert dispatcher.sleep.wakes == 0


async def test_while_a_request_runs_it_does_not_fall_asleep() -> None:
    engine = ScriptedEngine()
    async with queue(engine) as dispatcher:
        asked = ask(dispatcher, "a1", "a")
        await until(lambda: dispatcher.running == 1, "it runs")
        await dispatcher.fall_asleep()
        assert (dispatcher.is_asleep, dispatcher.idle_s) == (False, 0.0)
        engine.gate.set()
        await asked


async def test_a_request_that_cannot_wake_it_goes_elsewhere_and_the_next_one_tries_again() -> None:
    engine = ScriptedEngine(wakeless=CannotWake("the device has no room"))
    engine.gate.set()
    async with queue(engine) as dispatcher:
        await dispatcher.fall_asleep()
        with pytest.raises(RequestError, match="no room") as refused:
            await ask(dispatcher, "a1", "a")
        assert (refused.value.code, refused.value.retryable) == (ErrorCode.NOT_READY, True)
        assert dispatcher.sleep.problem == "the device has no room"
        assert dispatcher.is_asleep
        engine.wakeless = None
        await ask(dispatcher, "a2", "a")
        assert dispatcher.sleep.problem == ""
    assert engine.served == ["(sleep)", "(wake)", "a2"]


async def test_an_engine_that_cannot_sleep_says_why_and_serves_on() -> None:
    engine = ScriptedEngine(sleepless=CannotSleep("it is compiled"))
    engine.gate.set()
    async with queue(engine) as dispatcher:
        await dispatcher.fall_asleep()
        assert (dispatcher.is_asleep, dispatcher.sleep.problem) == (False, "it is compiled")
        engine.sleepless = RuntimeError("not enough memory: you tried to allocate 7 GB")
        await dispatcher.fall_asleep()
        assert (dispatcher.is_asleep, dispatcher.sleep.problem) == (False, "falling asleep failed with RuntimeError")
        await ask(dispatcher, "a1", "a")
    assert engine.served == ["a1"]


@pytest.mark.parametrize("when", ["it falls asleep", "it wakes"])
async def test_a_device_that_is_lost_meanwhile_takes_the_process_out_of_service(when: str) -> None:
    lost: list[str] = []
    gone = DeviceLost("an illegal memory access")
    engine = ScriptedEngine(sleepless=gone if when == "it falls asleep" else None, wakeless=gone)
    engine.gate.set()
    async with queue(engine, on_lost=lost.append) as dispatcher:
        await dispatcher.fall_asleep()
        with pytest.raises(RequestError) as refused:
            await ask(dispatcher, "a1", "a")
        assert refused.value.code is ErrorCode.NOT_READY
    assert lost == ["the device is lost: an illegal memory access"]
