"""The status of a pod as the kubelet reports it: pure functions of what its containers do."""

from datetime import datetime

from lorapool_common.kube.resources import Manifest
from lorapool_local.node.reports.conditions import condition, timestamp, with_transition_time
from lorapool_local.node.reports.snapshot import (
    ContainerRunning,
    ContainerSnapshot,
    ContainerState,
    ContainerTerminated,
    ContainerWaiting,
    PodSnapshot,
)
from lorapool_local.node.spec.pod import Pod


def pod_status(pod: Pod, snapshot: PodSnapshot, now: datetime) -> Manifest:
    """The status to report. Transition times are kept from the pod's present conditions where nothing changed."""
    status: Manifest = {
        "phase": phase(pod, snapshot),
        "conditions": _conditions(pod, snapshot, now),
        "hostIP": snapshot.host_ip,
        "hostIPs": [{"ip": snapshot.host_ip}],
        "startTime": timestamp(snapshot.start_time),
        "initContainerStatuses": [_container_status(c) for c in snapshot.init_containers],
        "containerStatuses": [_container_status(c) for c in snapshot.containers],
    }
    if snapshot.pod_ip:
        status |= {"podIP": snapshot.pod_ip, "podIPs": [{"ip": snapshot.pod_ip}]}
    if snapshot.failure is not None:
        status |= {"reason": snapshot.failure[0], "message": snapshot.failure[1]}
    return status


def status_patch(status: Manifest) -> Manifest:
    """As a strategic merge patch that leaves nothing of the status before, but conditions of other writers."""
    return {
        **status,
        # These lists are merged by address: the pod's own takes the place of one that it had before a restart.
        **{key: [*status[key], {"$patch": "replace"}] for key in ("podIPs", "hostIPs") if key in status},
        "conditions": [{"reason": None, "message": None, **c} for c in status["conditions"]],
    }


def phase(pod: Pod, snapshot: PodSnapshot) -> str:
    """Pending until every container has been started; Succeeded or Failed once none will run again."""
    if snapshot.failure is not None:
        return "Failed"
    if any(_failed_for_good(c) for c in snapshot.init_containers):
        return "Failed"
    if not _initialized(snapshot) or any(_never_ran(c) for c in snapshot.containers):
        return "Pending"
    if all(isinstance(c.state, ContainerTerminated) and not c.is_restarting for c in snapshot.containers):
        return "Succeeded" if all(_exit_code(c) == 0 for c in snapshot.containers) else "Failed"
    return "Running"


def _conditions(pod: Pod, snapshot: PodSnapshot, now: datetime) -> list[Manifest]:
    unready = [c.name for c in snapshot.containers if not c.ready]
    finished = phase(pod, snapshot)
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
    initialized = _initialized(snapshot)
    unfinished = [c.name for c in snapshot.init_containers if not _init_done(c)]
    wanted = [
        condition("PodReadyToStartContainers", bool(snapshot.pod_ip)),
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


def _initialized(snapshot: PodSnapshot) -> bool:
    return all(_init_done(c) for c in snapshot.init_containers)


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


def _container_status(snapshot: ContainerSnapshot) -> Manifest:
    status: Manifest = {
        "name": snapshot.name,
        "image": snapshot.image,
        "imageID": f"lorapool://{snapshot.image}" if snapshot.container_id else "",
        "ready": snapshot.ready,
        "started": snapshot.started,
        "restartCount": snapshot.restart_count,
        "state": _state(snapshot.state, snapshot.container_id),
        "lastState": _state(snapshot.last_state, snapshot.container_id) if snapshot.last_state is not None else {},
    }
    if snapshot.container_id:
        status["containerID"] = snapshot.container_id
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
