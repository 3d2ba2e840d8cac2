"""What a supervisor says about itself, in a file that others read: the state of the plane."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from lorapool_common.files import write_atomically
from lorapool_local.errors import PlaneAlreadyRunning
from lorapool_local.paths import StateDir


class Phase(StrEnum):
    """Where a plane is in its life."""

    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    FAILED = "failed"


class ComponentReport(BaseModel):
    """A component of the control plane: its process, address and log."""

    model_config = ConfigDict(frozen=True)

    name: str
    pid: int | None
    address: str
    log: str


class PlaneReport(BaseModel):
    """One look at a plane. Only worth something while its supervisor lives: ask `is_supervised`."""

    model_config = ConfigDict(frozen=True)

    pid: int
    phase: Phase
    waiting_for: str = ""
    message: str = ""
    server: str = ""
    kubeconfig: str = ""
    node: str = ""
    subnet: int | None = None
    isolation: str = ""
    components: tuple[ComponentReport, ...] = ()


def read_report(state: StateDir) -> PlaneReport | None:
    """What the supervisor last said; None where none has said anything."""
    try:
        return PlaneReport.model_validate_json(state.report.read_bytes())
    except FileNotFoundError:
        return None


def write_report(state: StateDir, report: PlaneReport) -> None:
    write_atomically(state.report, report.model_dump_json(indent=2) + "\n")


def is_supervised(state: StateDir) -> bool:
    """Whether a living supervisor holds this folder. A pid alone may by now be someone else's."""
    try:
        with hold(state):
            return False
    except PlaneAlreadyRunning:
        return True
    except FileNotFoundError:
        return False


@contextmanager
def hold(state: StateDir) -> Iterator[None]:
    """Hold the folder's lock; the kernel gives it back however this process ends. Raises: PlaneAlreadyRunning."""
    descriptor = os.open(state.lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise PlaneAlreadyRunning(f"a plane is running on {state.root}: `lorapool status` shows it") from error
        yield
    finally:
        os.close(descriptor)
