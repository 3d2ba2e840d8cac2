"""The engine that sleeps and wakes, and for how long it did."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from lorapool_runtime.engine.contract import Stop
from lorapool_runtime.errors import CannotSleep, CannotWake, DeviceLost, Stopped
from lorapool_runtime.queue.engine_thread import Clock, EngineThread

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class SleepFigures:
    """How the engine has slept so far.

    Attributes:
        asleep_s: for how long in all.
        wakes: how often it woke.
        last_wake_s: what the last wake took; None: there was none.
        problem: why it does not sleep, or did not wake, when it was last to.
    """

    is_asleep: bool = False
    asleep_s: float = 0.0
    wakes: int = 0
    last_wake_s: float | None = None
    problem: str = ""


class Sleeper:
    """Lives on the event loop. Only who has the engine to itself calls it: while it sleeps nothing is rendered."""

    def __init__(self, thread: EngineThread, on_change: Callable[[], None], clock: Clock = time.monotonic) -> None:
        """`on_change` is called when it has fallen asleep, has woken, or has failed to."""
        self._thread = thread
        self._on_change = on_change
        self._clock = clock
        self._since_s: float | None = None
        self._before_s = 0.0
        self._wakes = 0
        self._last_wake_s: float | None = None
        self._problem = ""

    @property
    def is_asleep(self) -> bool:
        return self._since_s is not None

    @property
    def figures(self) -> SleepFigures:
        now_s = 0.0 if self._since_s is None else self._clock() - self._since_s
        return SleepFigures(self.is_asleep, self._before_s + now_s, self._wakes, self._last_wake_s, self._problem)

    async def sleep(self, stop: Stop) -> None:
        """Let the engine sleep, unless `stop` says that it is wanted; where it cannot, the figures say why."""
        if self.is_asleep:
            return
        began_s = self._clock()
        try:
            await self._thread.sleep(stop)
        except (Stopped, DeviceLost):
            return
        except CannotSleep as error:
            if self._problem != str(error):
                log.warning("the engine cannot sleep", why=str(error))
            self._note(str(error))
            return
        except Exception as error:
            # Whatever a library says of memory: the base has not moved, and serves on.
            log.exception("the engine did not fall asleep")
            self._note(f"falling asleep failed with {type(error).__name__}")
            return
        self._since_s = self._clock()
        log.info("the engine sleeps", took_s=round(self._since_s - began_s, 3))
        self._note("")

    async def wake(self) -> None:
        """Return when the engine is awake. Raises: CannotWake, DeviceLost: it sleeps on."""
        if self._since_s is None:
            return
        began_s = self._clock()
        try:
            await self._thread.wake()
        except CannotWake as error:
            log.warning("the engine cannot wake", why=str(error))
            self._note(str(error))
            raise
        self._before_s += began_s - self._since_s
        self._since_s = None
        self._wakes += 1
        self._last_wake_s = self._clock() - began_s
        log.info("the engine is awake", took_s=round(self._last_wake_s, 3))
        self._note("")

    def _note(self, problem: str) -> None:
        self._problem = problem
        self._on_change()
