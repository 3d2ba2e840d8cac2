"""The status of a pod as the kubelet reports it: pure functions of what its containers do."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from lorapool_common.kube.resources import Manifest
from lorapool_local.node.reports.conditions import condition, timestamp, with_transition_time
from lorapool_local.node.spec.pod import Pod

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


def pod_status(pod: Pod, view: PodSnapshot, now: datetime) -> Manifest:
    """The status to report. Transition times are kept from the pod's present conditions where nothing changed."""
    status: Manifest = {
        "phase": phase(pod, view),
        "conditions": _conditions(pod, view, now),
        "hostIP": view.host_ip,
        "hostIPs": [{"ip": view.host_ip}],
        "startTime": timestamp(view.start_time),
        "initContainerStatuses": [_container_status(c) for c in view.init_containers],
        "containerStatuses": [_container_status(c) for c in view.containers],
    }
    if view.pod_ip:
        status |= {"podIP": view.pod_ip, "podIPs": [{"ip": view.pod_ip}]}
    if view.failure is not None:
        status |= {"reason": view.failure[0], "message": view.failure[1]}
    return status


def status_patch(status: Manifest) -> Manifest:
    """As a strategic merge patch that leaves nothing of the status before, but conditions of other writers."""
    return {
        **status,
        # These lists are merged by address: the pod's own takes the place of one that it had before a restart.
        **{key: [*status[key], {"$patch": "replace"}] for key in ("podIPs", "hostIPs") if key in status},
        "conditions": [{"reason": None, "message": None, **c} for c in status["conditions"]],
    }


def phase(pod: Pod, view: PodSnapshot) -> str:
    """Pending until every container has been started; Succeeded or Failed once none will run again."""
    if view.failure is not None:
        return "Failed"
    if any(_failed_for_good(c) for c in view.init_containers):
        return "Failed"
    if not _initialized(view) or any(_never_ran(c) for c in view.containers):
        return "Pending"
    if all(isinstance(c.state, ContainerTerminated) and not c.is_restarting for c in view.containers):
        return "Succeeded" if all(_exit_code(c) == 0 for c in view.containers) else "Failed"
    return "Running"


def _conditions(pod: Pod, view: PodSnapshot, now: datetime) -> list[Manifest]:
    unready = [c.name for c in view.containers if not c.ready]
    finished = phase(pod, view)
    if finished == "Succeeded":
        why, text = "PodCompleted", ""
    elif finished == "Failed":
        why, text = "PodFailed", ""
    else:
        why, text = "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]"
    all_ready = not unready and finished == "Running"
    gates = [gate["conditionType"] for gate in pod.spec.readiness_gates]
    true_now = {c["type"] for c in pod.status.conditions if c.get("status") == "True"}
    open_gates = all(gate in true_now for gate in gates)
    initialized = _initialized(view)
    unfinished = [c.name for c in view.init_containers if not _init_done(c)]
    wanted = [
        condition("PodReadyToStartContainers", bool(view.pod_ip)),
        condition("Initialized", initialized)
        if initialized
        else condition(
            "Initialized",
            False,
            "ContainersNotInitialized",
            f"containers with incomplete status: [{' '.join(unfinished)}]",
        ),
        condition("ContainersReady", True) if all_ready else condition("ContainersReady", False, why, text),
        _ready_condition(all_ready, open_gates, why, text),
        condition("PodScheduled", True),
    ]
    old = {c["type"]: c for c in pod.status.conditions}
    return [with_transition_time(c, old.get(c["type"]), now) for c in wanted]


def _ready_condition(all_ready: bool, open_gates: bool, why: str, text: str) -> Manifest:
    if all_ready and not open_gates:
        return condition("Ready", False, "ReadinessGatesNotReady", "a readiness gate is not True")
    return condition("Ready", True) if all_ready else condition("Ready", False, why, text)


def _initialized(view: PodSnapshot) -> bool:
    return all(_init_done(c) for c in view.init_containers)


def _init_done(container: ContainerSnapshot) -> bool:
    if container.is_sidecar:
        return container.started
    return isinstance(container.state, ContainerTerminated) and container.state.exit_code == 0


def _failed_for_good(container: ContainerSnapshot) -> bool:
    ended_badly = isinstance(container.state, ContainerTerminated) and container.state.exit_code != 0
    return ended_badly and not container.is_restarting


def _never_ran(container: ContainerSnapshot) -> bool:
    return isinstance(container.state, ContainerWaiting) and container.last_state is None


def _exit_code(container: ContainerSnapshot) -> int:
    return container.state.exit_code if isinstance(container.state, ContainerTerminated) else 0


def _container_status(view: ContainerSnapshot) -> Manifest:
    status: Manifest = {
        "name": view.name,
        "image": view.image,
        "imageID": f"lorapool://{view.image}" if view.container_id else "",
        "ready": view.ready,
        "started": view.started,
        "restartCount": view.restart_count,
        "state": _state(view.state, view.container_id),
        "lastState": _state(view.last_state, view.container_id) if view.last_state is not None else {},
    }
    if view.container_id:
        status["containerID"] = view.container_id
    return status


def _state(state: ContainerState, container_id: str) -> Manifest:
    match state:
        case ContainerWaiting(reason=reason, message=message):
            return {"waiting": _without_empty({"reason": reason, "message": message})}
        case ContainerRunning(started_at=started_at):
            return {"running": {"startedAt": timestamp(started_at)}}
        case ContainerTerminated():
            return {"terminated": _terminated(state, container_id)}


def _terminated(state: ContainerTerminated, container_id: str) -> Manifest:
    optional = {
        "reason": state.reason,
        "message": state.message,
        "signal": state.signal,
        "startedAt": timestamp(state.started_at) if state.started_at else "",
        "finishedAt": timestamp(state.finished_at) if state.finished_at else "",
        "containerID": container_id,
    }
    return {"exitCode": state.exit_code, **_without_empty(optional)}


def _without_empty(values: Manifest) -> Manifest:
    return {key: value for key, value in values.items() if value}
