"""Getting the base warm, and trying again where it cannot be loaded."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from functools import partial

import structlog

from lorapool_api.kinds.conditions import Reason
from lorapool_api.wire.state import BasePhase, BaseReport, BaseState
from lorapool_common.backoff import Backoff
from lorapool_common.changes import Changes
from lorapool_runtime.engine.contract import BaseInfo, LoadEngine, WarmEngine
from lorapool_runtime.engine.progress import progress_reporter
from lorapool_runtime.errors import DeviceLost, ModelError

log = structlog.get_logger(__name__)


class BaseLoader:
    """The base model's state. A base that cannot be loaded leaves the process up, so that it can say why.

    Attributes:
        warm: the engine, as soon as its base is warm; it never fails. Needs a running event loop.
    """

    def __init__(
        self,
        load: LoadEngine,
        thread: Executor,
        changes: Changes,
        started_s: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`thread` is the one on which the engine works; `started_s` is when, on that clock, waiting began."""
        self._load = load
        self._thread = thread
        self._changes = changes
        self._clock = clock
        self._sleep = sleep
        self._started_s = started_s
        self.warm: asyncio.Future[WarmEngine] = asyncio.get_running_loop().create_future()
        self.state = BaseState(phase=BasePhase.LOADING, message="loading the base model")

    def engine(self) -> WarmEngine:
        """The engine. Raises: asyncio.InvalidStateError before its base is warm."""
        return self.warm.result()

    async def info(self) -> BaseInfo:
        """The base; waits until it is warm."""
        return (await asyncio.shield(self.warm)).info

    def report(self) -> BaseReport | None:
        """The base's modules; None before it is warm."""
        if not self.warm.done():
            return None
        info = self.engine().info
        return BaseReport(revision=info.revision, modules={c: dict(named) for c, named in info.modules.items()})

    async def load_until_warm(self) -> None:
        """Load and warm the base; return when it is warm. Raises: DeviceLost."""
        backoff = Backoff(first_s=5.0, last_s=300.0)
        while not await self._attempt():
            await self._sleep(backoff.next())

    async def _attempt(self) -> bool:
        loop, began_s = asyncio.get_running_loop(), self._clock()
        try:
            with progress_reporter("loading the base model", partial(_soon, loop, self._loaded)) as progress:
                engine = await loop.run_in_executor(self._thread, self._load, progress)
        except DeviceLost:
            raise  # nothing that this process tries can succeed
        except ModelError as error:
            self._fail(str(error))
            return False
        except Exception as error:  # whatever a library says of a model, the pod stays up and tells it
            log.exception("loading the base model failed")
            self._fail(f"{type(error).__name__}: {str(error)[:500]}")
            return False
        self.warm.set_result(engine)
        self._warm_up_done(engine.info, began_s)
        return True

    def _loaded(self, percent: int) -> None:
        if self.state.phase is BasePhase.LOADING:
            self._set(BaseState(phase=BasePhase.LOADING, message=f"loading the base model: {percent}%"))

    def _fail(self, message: str) -> None:
        log.error("the base model cannot be loaded", error=message)
        self._set(BaseState(phase=BasePhase.FAILED, reason=Reason.MODEL_LOAD_FAILED, message=message))

    def _warm_up_done(self, info: BaseInfo, began_s: float) -> None:
        """`began_s`: when the try began that went well; what was before is one stage."""
        took_s = self._clock() - self._started_s
        stages = {"process": began_s - self._started_s, **info.stages_s}
        stages_s = {stage: round(max(0.0, seconds), 3) for stage, seconds in stages.items()}
        log.info(
            "the base model is warm",
            revision=info.revision,
            size_bytes=info.size_bytes,
            cold_start_s=round(took_s, 3),
            **{f"{stage}_s": seconds for stage, seconds in stages_s.items()},
        )
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
        self._changes.note()


def _soon(loop: asyncio.AbstractEventLoop, report: Callable[[int], None], percent: int) -> None:
    loop.call_soon_threadsafe(report, percent)
