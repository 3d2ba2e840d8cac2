"""Processes of the bench: started, waited for, looked at, ended."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_START_S: Final = 90.0
_PAUSE_S: Final = 0.1
_OK: Final = 200


@dataclass(frozen=True)
class ProcessTree:
    """A process with those that it has started."""

    pid: int

    @property
    def cpu_s(self) -> float:
        """What they have used so far, in user and kernel mode."""
        return sum(int(fields[11]) + int(fields[12]) for fields in self._stats()) / _TICKS

    @property
    def memory_bytes(self) -> int:
        """What they have in memory now."""
        return sum(int(fields[21]) for fields in self._stats()) * _PAGE_BYTES

    def _stats(self) -> list[list[str]]:
        """The fields of /proc/PID/stat behind the name."""
        found: list[list[str]] = []
        left = [str(self.pid)]
        while left:
            pid = left.pop()
            try:
                found.append(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split())
                left += Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            except OSError:
                continue  # it has ended meanwhile
        return found


async def start(
    stack: AsyncExitStack, program: Sequence[str], environment: dict[str, str], *, log: Path | None = None
) -> ProcessTree:
    """The program, or the module where it begins with `-m`; it ends with the stack. `log` takes what it says."""
    command = [sys.executable, *program] if program[0] == "-m" else program
    out = stack.enter_context(log.open("wb")) if log else None
    process = await asyncio.create_subprocess_exec(
        *command, env={"PATH": os.environ["PATH"], **environment}, stdout=out, stderr=out
    )
    stack.push_async_callback(_end, process)
    return ProcessTree(process.pid)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            async with asyncio.timeout(5):
                await process.wait()
        except TimeoutError:
            process.kill()
    await process.wait()


async def until_served(ask: Callable[[aiohttp.ClientSession], Awaitable[int]]) -> None:
    """Wait until the answer has the status 200. Raises: TimeoutError."""
    async with asyncio.timeout(_START_S), aiohttp.ClientSession() as http:
        while True:
            try:
                if await ask(http) == _OK:
                    return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(_PAUSE_S)
