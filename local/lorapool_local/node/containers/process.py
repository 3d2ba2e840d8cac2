"""The process of one container, in its sandbox."""

import asyncio
import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from lorapool_local.node.containers.logs import LogWriter, copy_lines
from lorapool_local.sandbox import isolated_python
from lorapool_local.sandbox.container import KILL_SIGNAL
from lorapool_local.sandbox.rootfs import Mount

# Output of processes that outlive the container's main one (without namespaces) is not waited for.
_DRAIN_S = 1.0


class Mode(StrEnum):
    """How containers are kept apart on this machine."""

    ROOT = "root"
    """Namespaces, as root."""
    USER = "user"
    """Namespaces, inside a user namespace."""
    FOLDERS = "folders"
    """Not at all: no namespaces, volumes in folders of their own."""


@dataclass(frozen=True)
class ContainerSpec:
    """The input of the sandbox: see `sandbox/container.py`."""

    isolation: Mode
    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str
    hostname: str
    root: str
    mounts: Sequence[Mount]
    opaque: Sequence[str]
    kept: Sequence[str]
    writable_tmp: bool
    drop_capabilities: bool
    no_new_privileges: bool


@dataclass(frozen=True)
class Exit:
    """How a container ended: by an exit code, by a signal, or (with `error`) before it began."""

    code: int
    signal: int = 0
    error: str = ""

    @property
    def shown_code(self) -> int:
        """As a shell and the kubelet show it."""
        return 128 + self.signal if self.signal else self.code


class ContainerProcess:
    """A started container."""

    def __init__(self, process: asyncio.subprocess.Process, reports: asyncio.StreamReader, log: LogWriter) -> None:
        self._process = process
        self._reports = reports
        self._log = log
        self.pid: int | None = None
        """Of the container's main process, as this process sees it."""
        self._exit = asyncio.get_running_loop().create_task(self._follow())

    @classmethod
    async def start(cls, spec: ContainerSpec, log: LogWriter) -> "ContainerProcess":
        """Start the sandbox. What goes wrong within it is its `Exit`. Raises: OSError, where there is no process."""
        read_end, write_end = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *isolated_python("lorapool_local.sandbox.container"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                pass_fds=[write_end],
                start_new_session=True,
                env={},
            )
        except BaseException:
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
        reports = await _reader(read_end)
        if process.stdin is None:
            raise RuntimeError("no standard input to write the specification to")
        sandbox = {
            **vars(spec),
            "mounts": [mount._asdict() for mount in spec.mounts],
            "parent_pid": os.getpid(),
            "report_fd": write_end,
        }
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            process.stdin.write(json.dumps(sandbox).encode())
            process.stdin.write_eof()
        return cls(process, reports, log)

    @property
    def has_ended(self) -> bool:
        return self._exit.done()

    async def wait(self) -> Exit:
        return await asyncio.shield(self._exit)

    def terminate(self) -> None:
        """SIGTERM to the container's main process."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()

    def kill(self) -> None:
        """SIGKILL to everything in the container."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(KILL_SIGNAL)

    async def _follow(self) -> Exit:
        output = asyncio.gather(
            *(
                copy_lines(reader, name, self._log)
                for name, reader in (("stdout", self._process.stdout), ("stderr", self._process.stderr))
                if reader is not None
            )
        )
        # A sandbox that was killed itself reports nothing.
        outcome = Exit(code=0, signal=9)
        error = ""
        async for line in self._reports:
            report = json.loads(line)
            self.pid = report.get("pid", self.pid)
            error = report.get("error", error)
            if "code" in report:
                outcome = Exit(report["code"], report["signal"], error)
        await self._process.wait()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(output, _DRAIN_S)
        self._log.close()
        return outcome


async def _reader(descriptor: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    pipe = os.fdopen(descriptor, "rb", buffering=0)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    return reader


async def detect_mode(scratch: Path) -> tuple[Mode, str]:
    """The best mode that this machine allows, and why a better one does not work."""
    refusals = []
    root = scratch / "root"
    root.mkdir(parents=True, exist_ok=True)
    for mode in [Mode.ROOT, Mode.USER] if os.getuid() == 0 else [Mode.USER]:
        spec = ContainerSpec(
            isolation=mode,
            argv=["/bin/sh", "-c", "exit 0"],
            env={},
            cwd="/",
            hostname="probe",
            root=str(root),
            mounts=[],
            opaque=[],
            kept=[],
            writable_tmp=True,
            drop_capabilities=False,
            no_new_privileges=False,
        )
        process = await ContainerProcess.start(spec, LogWriter(scratch / "probe.log"))
        outcome = await process.wait()
        if outcome == Exit(0):
            return mode, ""
        refusals.append(f"{mode}: {outcome.error or f'exit code {outcome.shown_code}'}")
    return Mode.FOLDERS, "; ".join(refusals)
