"""The status of a pod, from what its containers do."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from lorapool_local.node.reports.snapshot import (
    ContainerRunning,
    ContainerSnapshot,
    ContainerState,
    ContainerTerminated,
    ContainerWaiting,
    PodSnapshot,
)
from lorapool_local.node.reports.status import phase, pod_status, status_patch
from lorapool_local.node.spec.pod import Pod, ReportedStatus

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
POD = Pod.model_validate(
    {"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": {"containers": [{"name": "main"}]}}
)
RUNNING = ContainerRunning(NOW)
DONE = ContainerTerminated(0, "Completed", NOW, NOW)
FAILED = ContainerTerminated(3, "Error", NOW, NOW)
CREATING = ContainerWaiting("PodInitializing")


def container(state: ContainerState, **changes: object) -> ContainerSnapshot:
    return replace(ContainerSnapshot("main", "image", state), **changes)  # type: ignore[arg-type]  # fields of any type


def snapshot(*containers: ContainerSnapshot, init: tuple[ContainerSnapshot, ...] = ()) -> PodSnapshot:
    return PodSnapshot(init, containers, "127.1.1.1", "127.1.0.1", NOW)


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        (snapshot(container(CREATING)), "Pending"),
        (snapshot(container(RUNNING)), "Running"),
        (snapshot(container(RUNNING), container(CREATING)), "Pending"),
        (snapshot(container(RUNNING), container(DONE)), "Running"),
        (snapshot(container(DONE)), "Succeeded"),
        (snapshot(container(DONE), container(FAILED)), "Failed"),
        (snapshot(container(FAILED, is_restarting=True)), "Running"),
        (snapshot(container(ContainerWaiting("CrashLoopBackOff"), last_state=FAILED)), "Running"),
        (snapshot(container(ContainerWaiting("ImagePullBackOff"))), "Pending"),
        (snapshot(container(CREATING), init=(container(RUNNING),)), "Pending"),
        (snapshot(container(CREATING), init=(container(FAILED),)), "Failed"),
        (snapshot(container(RUNNING), init=(container(DONE),)), "Running"),
        (snapshot(container(RUNNING), init=(container(RUNNING, is_sidecar=True, started=True),)), "Running"),
        (replace(snapshot(container(RUNNING)), failure=("Evicted", "too large")), "Failed"),
    ],
)
def test_phase(pod: PodSnapshot, expected: str) -> None:
    assert phase(POD, pod) == expected


def conditions(status: dict[str, object]) -> dict[str, dict[str, str]]:
    return {c["type"]: c for c in status["conditions"]}  # type: ignore[attr-defined]  # JSON


def test_a_pod_is_ready_when_every_container_is() -> None:
    half = pod_status(POD, snapshot(container(RUNNING, ready=True), container(RUNNING)), NOW)
    whole = pod_status(POD, snapshot(container(RUNNING, ready=True)), NOW)

    assert conditions(half)["Ready"]["reason"] == "ContainersNotReady"
    assert conditions(whole)["Ready"]["status"] == "True"


def test_a_readiness_gate_holds_a_pod_back() -> None:
    gated = POD.model_copy(
        update={"spec": POD.spec.model_copy(update={"readiness_gates": ({"conditionType": "lorapool.dev/warm"},)})}
    )
    ready = snapshot(container(RUNNING, ready=True))

    assert conditions(pod_status(gated, ready, NOW))["Ready"]["reason"] == "ReadinessGatesNotReady"
    opened = gated.model_copy(
        update={"status": ReportedStatus(conditions=({"type": "lorapool.dev/warm", "status": "True"},))}
    )
    assert conditions(pod_status(opened, ready, NOW))["Ready"]["status"] == "True"


def test_a_transition_time_moves_only_with_its_condition() -> None:
    before = pod_status(POD, snapshot(container(RUNNING)), NOW)
    told = POD.model_copy(update={"status": ReportedStatus.model_validate(before)})
    later = NOW + timedelta(seconds=5)

    same = pod_status(told, snapshot(container(RUNNING)), later)
    ready = pod_status(told, snapshot(container(RUNNING, ready=True)), later)

    assert same == before
    assert conditions(ready)["Ready"]["lastTransitionTime"] == "2026-01-01T12:00:05Z"
    assert conditions(ready)["Initialized"]["lastTransitionTime"] == "2026-01-01T12:00:00Z"


def test_a_patch_replaces_addresses_and_clears_what_is_over() -> None:
    patch = status_patch(pod_status(POD, snapshot(container(RUNNING, ready=True)), NOW))

    assert patch["podIPs"] == [{"ip": "127.1.1.1"}, {"$patch": "replace"}]
    assert conditions(patch)["Ready"]["reason"] is None
    not_ready = status_patch(pod_status(POD, snapshot(container(RUNNING)), NOW))
    assert conditions(not_ready)["Ready"]["reason"] == "ContainersNotReady"


def test_a_crashed_container_shows_how_it_ended() -> None:
    crashed = container(
        ContainerWaiting("CrashLoopBackOff", "back-off 10s"),
        last_state=replace(FAILED, message="no base model"),
        restart_count=1,
    )

    [status] = pod_status(POD, snapshot(crashed), NOW)["containerStatuses"]

    assert status["state"] == {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
    assert status["lastState"]["terminated"]["exitCode"] == 3
    assert status["lastState"]["terminated"]["message"] == "no base model"
    assert (status["restartCount"], status["ready"]) == (1, False)
