"""What is known of a pod and its containers at one time, and what becomes of it with each event: pure."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from lorapool_local.node.spec.container import Container

COMPLETED: Final = "Completed"
ERROR: Final = "Error"


@dataclass(frozen=True)
class ContainerWaiting:
    """`ContainerStateWaiting`: not started yet, or waiting to be started again."""

    reason: str
    message: str = ""


@dataclass(frozen=True)
class ContainerRunning:
    """`ContainerStateRunning`."""

    started_at: datetime


@dataclass(frozen=True)
class ContainerTerminated:
    """`ContainerStateTerminated`."""

    exit_code: int
    reason: str
    started_at: datetime | None
    finished_at: datetime | None
    signal: int = 0
    message: str = ""


ContainerState = ContainerWaiting | ContainerRunning | ContainerTerminated


@dataclass(frozen=True)
class ContainerSnapshot:
    """What is known of one container."""

    name: str
    image: str
    state: ContainerState
    last_state: ContainerTerminated | None = None
    restart_count: int = 0
    started: bool = False
    ready: bool = False
    container_id: str = ""
    is_sidecar: bool = False
    is_restarting: bool = False
    """Whether it will run again although it has ended."""

    def waiting(self, reason: str, message: str) -> "ContainerSnapshot":
        """Not started, or not again yet."""
        return replace(self, state=ContainerWaiting(reason, message), started=False, ready=False)

    def running(self, run: int, started_at: datetime, container_id: str, probes: Container) -> "ContainerSnapshot":
        """Started for the `run`-th time from 0; `probes` says what it has to pass before it is started and ready."""
        is_started = probes.startup_probe is None
        return replace(
            self,
            state=ContainerRunning(started_at),
            restart_count=run,
            container_id=container_id,
            started=is_started,
            ready=is_started and probes.readiness_probe is None,
            is_restarting=False,
        )

    def ended(self, state: ContainerTerminated, *, restarting: bool, is_init: bool) -> "ContainerSnapshot":
        """After a run. An init container that has done its work counts as ready."""
        return replace(
            self,
            state=state,
            last_state=state if restarting else self.last_state,
            started=False,
            ready=state.exit_code == 0 and is_init and not restarting,
            is_restarting=restarting,
        )


@dataclass(frozen=True)
class PodSnapshot:
    """What is known of one pod."""

    init_containers: tuple[ContainerSnapshot, ...]
    containers: tuple[ContainerSnapshot, ...]
    pod_ip: str
    host_ip: str
    start_time: datetime
    failure: tuple[str, str] | None = None
    """(reason, message) of a pod that was ended by the node itself."""
