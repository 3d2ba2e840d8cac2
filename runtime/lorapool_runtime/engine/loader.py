"""Getting the base warm, and keeping on trying where it cannot be loaded."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial

import structlog

from lorapool_api.kinds.conditions import Reason
from lorapool_api.wire.state import BasePhase, BaseReport, BaseState
from lorapool_runtime.engine.contract import BaseInfo, Engine
from lorapool_runtime.engine.progress import progress_reporter
from lorapool_runtime.errors import DeviceLost, ModelError
from lorapool_runtime.versions import Versions

log = structlog.get_logger(__name__)


def back_off_s(failures: int) -> float:
    """Seconds until the base is tried again: from 5 s, doubling, five minutes at most."""
    return min(2.5 * 2.0 ** min(failures, 16), 300.0)


class BaseLoader:
    """The base model's state. A base that cannot be loaded leaves the process up, so that it can say why."""

    def __init__(
        self,
        engine: Engine,
        thread: Executor,
        versions: Versions,
        started_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`thread` is the one on which the engine works; `started_s` is when, on that clock, waiting began."""
        self._engine = engine
        self._thread = thread
        self._versions = versions
        self._clock = clock
        self._started_s = started_s
        self._warm = asyncio.Event()
        self._info: BaseInfo | None = None
        self.state = BaseState(phase=BasePhase.LOADING, message="loading the base model")

    @property
    def info(self) -> BaseInfo | None:
        """The base, once it is warm."""
        return self._info

    async def warm(self) -> BaseInfo:
        """The base; waits until it is warm."""
        await self._warm.wait()
        assert self._info is not None  # noqa: S101 -- set before the event
        return self._info

    def report(self) -> BaseReport | None:
        if self._info is None:
            return None
        return BaseReport(
            revision=self._info.revision, modules={c: dict(named) for c, named in self._info.modules.items()}
        )

    async def load_until_warm(self) -> None:
        """Load and warm the base; return when it is warm. Raises: DeviceLost."""
        failures = 0
        while not await self._attempt():
            failures += 1
            await asyncio.sleep(back_off_s(failures))

    async def _attempt(self) -> bool:
        loop = asyncio.get_running_loop()
        try:
            with progress_reporter("loading the base model", partial(_soon, loop, self._loaded)) as progress:
                self._info = await loop.run_in_executor(self._thread, self._engine.load, progress)
        except DeviceLost:
            raise  # nothing that this process tries can succeed
        except ModelError as error:
            self._fail(str(error))
            return False
        except Exception as error:  # whatever a library says of a model, the pod stays up and tells it
            log.exception("loading the base model failed")
            self._fail(f"{type(error).__name__}: {str(error)[:500]}")
            return False
        self._warm_up_done(self._info)
        return True

    def _loaded(self, percent: int) -> None:
        if self.state.phase is BasePhase.LOADING:
            self._set(BaseState(phase=BasePhase.LOADING, message=f"loading the base model: {percent}%"))

    def _fail(self, message: str) -> None:
        log.error("the base model cannot be loaded", message=message)
        self._set(BaseState(phase=BasePhase.FAILED, reason=Reason.MODEL_LOAD_FAILED, message=message))

    def _warm_up_done(self, info: BaseInfo) -> None:
        took_s = self._clock() - self._started_s
        stages_s = {stage: round(seconds, 3) for stage, seconds in info.stages_s.items()}
        log.info(
            "the base model is warm",
            revision=info.revision,
            size_bytes=info.size_bytes,
            cold_start_s=round(took_s, 3),
            **{f"{stage}_s": seconds for stage, seconds in stages_s.items()},
        )
        self._warm.set()
        self._set(
            BaseState(
                phase=BasePhase.WARM,
                revision=info.revision,
                size_bytes=info.size_bytes,
                cold_start_s=took_s,
                stages_s=stages_s,
                shortfall=info.shortfall,
            )
        )

    def _set(self, state: BaseState) -> None:
        self.state = state
        self._versions.bump()


def _soon(loop: asyncio.AbstractEventLoop, report: Callable[[int], None], percent: int) -> None:
    loop.call_soon_threadsafe(report, percent)
