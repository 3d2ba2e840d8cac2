"""One program of the control plane: started, watched, started again when it dies, stopped."""

import asyncio
import contextlib
import os
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import structlog

from lorapool_local.errors import PlaneFailed
from lorapool_local.sandbox import isolated_python

log = structlog.get_logger(__name__)

# A component that dies more often than this within the window takes the plane with it.
_MAX_DEATHS = 5
_WINDOW_S = 60.0
_PAUSE_S = 0.5


@dataclass(frozen=True)
class Program:
    """What to run, and where its output goes."""

    name: str
    command: list[str]
    log: Path
    port: int


class Component:
    """A program that is kept running until `stop`."""

    def __init__(self, program: Program, *, pause_s: float = _PAUSE_S) -> None:
        self.program = program
        self._pause_s = pause_s
        self._process: asyncio.subprocess.Process | None = None
        self._deaths: deque[float] = deque(maxlen=_MAX_DEATHS)

    @property
    def pid(self) -> int | None:
        """None while it does not run."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def keep_running(self) -> None:
        """Returns never; raises `PlaneFailed` when the program dies again and again."""
        while True:
            await self.start()
            await self._wait()
            self._count_death()
            await asyncio.sleep(self._pause_s)

    async def start(self) -> None:
        with self.program.log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *isolated_python("lorapool_local.sandbox.tether"),
                str(os.getpid()),
                *self.program.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    async def stop(self, patience_s: float) -> None:
        """SIGTERM, then SIGKILL."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            if patience_s > 0:
                process.terminate()
        try:
            await asyncio.wait_for(process.wait(), patience_s)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _wait(self) -> None:
        if self._process is None:
            raise RuntimeError("wait before start")
        code = await self._process.wait()
        log.warning("component ended", component=self.program.name, code=code)

    def _count_death(self) -> None:
        now = time.monotonic()
        self._deaths.append(now)
        if len(self._deaths) == _MAX_DEATHS and now - self._deaths[0] < _WINDOW_S:
            raise PlaneFailed(f"{self.program.name} dies again and again:\n{log_tail(self.program.log)}")


def log_tail(path: Path, lines: int = 5) -> str:
    """The end of a log, to be shown in an error."""
    try:
        text = path.read_text(errors="replace")
    except FileNotFoundError:
        return "(no log)"
    return "\n".join(text.splitlines()[-lines:])
