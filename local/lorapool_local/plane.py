"""A handle on a plane: start one, wait until it is ready, stop it, remove what it left."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lorapool_common.files import write_atomically
from lorapool_local.binaries import Binaries
from lorapool_local.config import PlaneConfig, SupervisorConfig
from lorapool_local.control_plane.component import log_tail
from lorapool_local.errors import PlaneAlreadyRunning, PlaneFailed, PlaneNotRunning
from lorapool_local.paths import StateDir
from lorapool_local.report import Phase, PlaneReport, is_supervised, read_report

_POLL_S = 0.05
_READY_TIMEOUT_S = 120.0
_STOP_TIMEOUT_S = 60.0

OnWaiting = Callable[[str], None]


@dataclass(frozen=True)
class Plane:
    """A plane that is ready."""

    state_dir: Path
    binaries: Binaries
    report: PlaneReport

    @property
    def kubeconfig(self) -> Path:
        return Path(self.report.kubeconfig)

    @property
    def server(self) -> str:
        return self.report.server

    @property
    def pid(self) -> int:
        """The supervisor's."""
        return self.report.pid

    @property
    def kubectl(self) -> Path:
        return self.binaries.kubectl

    @property
    def helm(self) -> Path:
        return self.binaries.helm


def start(
    state_dir: Path,
    binaries: Binaries,
    config: PlaneConfig | None = None,
    *,
    lifeline: bool = False,
    on_waiting: OnWaiting = lambda _: None,
) -> tuple[Plane, subprocess.Popen[bytes]]:
    """Start a supervisor on this folder and wait until its plane is ready.

    With a lifeline the plane ends when the calling process does, whatever ends it; else it stays until `stop`.
    Objects that an earlier plane left in the folder are there again.

    Raises:
        PlaneAlreadyRunning: on this folder.
        PlaneFailed: it did not become ready; with what it said last.
    """
    state = StateDir(state_dir.absolute())
    state.create()
    if is_supervised(state):
        raise PlaneAlreadyRunning(f"a plane is running on {state.root}: `lorapool status` shows it")
    supervisor_config = SupervisorConfig(plane=config or PlaneConfig(), binaries=binaries.to_json(), lifeline=lifeline)
    write_atomically(state.config, supervisor_config.model_dump_json(indent=2))
    process = _spawn(state, lifeline)
    try:
        report = _wait_until_ready(state, process, on_waiting)
    except BaseException:
        process.kill()
        process.wait()
        _close_lifeline(process)
        raise
    return Plane(state.root, binaries, report), process


@contextlib.contextmanager
def running(
    state_dir: Path,
    binaries: Binaries,
    config: PlaneConfig | None = None,
    *,
    purge: bool = False,
    on_waiting: OnWaiting = lambda _: None,
) -> Iterator[Plane]:
    """A plane for the length of a block; with `purge` its folder goes too."""
    plane, process = start(state_dir, binaries, config, lifeline=True, on_waiting=on_waiting)
    try:
        yield plane
    finally:
        stop_process(process)
        if purge:
            remove(state_dir)


def stop_process(process: subprocess.Popen[bytes]) -> None:
    """End the plane of a supervisor that this process started."""
    process.terminate()
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    _close_lifeline(process)


def stop(state_dir: Path) -> None:
    """End the plane of this folder and wait until it has gone; its objects stay. Raises: PlaneNotRunning."""
    state = StateDir(state_dir.absolute())
    report = read_report(state)
    if report is None or not is_supervised(state):
        raise PlaneNotRunning(f"no plane is running on {state.root}")
    with contextlib.suppress(ProcessLookupError):
        os.kill(report.pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_TIMEOUT_S
    while is_supervised(state):
        if time.monotonic() > deadline:
            os.kill(report.pid, signal.SIGKILL)
            deadline = time.monotonic() + _STOP_TIMEOUT_S
        time.sleep(_POLL_S)


def remove(state_dir: Path) -> None:
    """Remove the folder of a plane that does not run. Raises: PlaneAlreadyRunning."""
    state = StateDir(state_dir.absolute())
    if is_supervised(state):
        raise PlaneAlreadyRunning(f"a plane is running on {state.root}: end it first")
    shutil.rmtree(state.root, ignore_errors=True)


def _spawn(state: StateDir, lifeline: bool) -> subprocess.Popen[bytes]:
    with (state.logs / "supervisor.log").open("ab") as log:
        return subprocess.Popen(  # noqa: S603 -- our own module
            [sys.executable, "-m", "lorapool_local.supervisor", str(state.root)],
            stdin=subprocess.PIPE if lifeline else subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Ctrl-C on the terminal is for whoever started the plane, who then ends it in order.
            start_new_session=True,
        )


def _wait_until_ready(state: StateDir, process: subprocess.Popen[bytes], on_waiting: OnWaiting) -> PlaneReport:
    deadline = time.monotonic() + _READY_TIMEOUT_S
    waiting_for = ""
    while time.monotonic() < deadline:
        report = read_report(state)
        if report is not None and report.pid != process.pid:
            report = None  # what an earlier supervisor left
        if report is not None and report.phase is Phase.READY:
            return report
        if process.poll() is not None:
            said = report.message if report is not None else ""
            raise PlaneFailed(said or f"the supervisor ended:\n{log_tail(state.logs / 'supervisor.log')}")
        if report is not None and report.waiting_for != waiting_for:
            waiting_for = report.waiting_for
            on_waiting(waiting_for)
        time.sleep(_POLL_S)
    raise PlaneFailed(f"the plane is not ready after {_READY_TIMEOUT_S:.0f} s: see {state.logs}")


def _close_lifeline(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()
