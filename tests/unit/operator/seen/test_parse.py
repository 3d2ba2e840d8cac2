"""Manifests of pods and Deployments, cut down to what decisions need."""

from typing import Any

import pytest
from tests import make

from lorapool_operator.seen.parse import deployment_view, owned_view, pod_view, replica_set_view
from lorapool_operator.seen.views import PodTrouble, ReplicaSetView, newest_replica_set


def pod_manifest(**status: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "p",
            "namespace": "n",
            "uid": "u",
            "labels": {"lorapool.dev/pool": "shapes"},
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "status": status,
    }


def test_a_pods_manifest_becomes_a_view() -> None:
    view = pod_view(pod_manifest(phase="Running", podIP="10.0.0.9", conditions=[{"type": "Ready", "status": "True"}]))
    assert (view.key, view.pool, view.ip, view.ready, view.created) == ("n/p", "n/shapes", "10.0.0.9", True, make.EPOCH)
    assert view.is_running


@pytest.mark.parametrize(
    ("container", "folder", "mounts_token"),
    [
        ("runtime", "/etc/lorapool/control", True),
        ("runtime", "/var/cache/lorapool", False),
        ("sidecar", "/etc/lorapool/control", False),
    ],
)
def test_a_pod_of_the_first_version_is_known_by_its_mount(container: str, folder: str, mounts_token: bool) -> None:
    mount = {"name": "control", "mountPath": folder, "readOnly": True}
    spec = {"containers": [{"name": container, "volumeMounts": [mount]}]}
    assert pod_view(pod_manifest() | {"spec": spec}).mounts_token is mounts_token
    assert not pod_view(pod_manifest()).mounts_token


@pytest.mark.parametrize(
    ("container", "words"),
    [
        ({"state": {"waiting": {"reason": "ErrImagePull", "message": "not found: x"}}}, "not found: x"),
        (
            {
                "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
                "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
            },
            "OOMKilled with exit code 137",
        ),
    ],
)
def test_what_keeps_a_container_from_running_is_kept_in_its_words(container: Any, words: str) -> None:
    problem = pod_view(pod_manifest(phase="Pending", containerStatuses=[container])).problem
    assert problem is not None
    assert problem.kind is PodTrouble.CONTAINER
    assert words in problem.message


def test_a_container_that_is_only_starting_is_no_problem() -> None:
    waiting = {"state": {"waiting": {"reason": "ContainerCreating"}}}
    assert pod_view(pod_manifest(phase="Pending", containerStatuses=[waiting])).problem is None


def test_an_evicted_pod_is_not_one_of_the_pools_pods() -> None:
    view = pod_view(pod_manifest(phase="Failed", reason="Evicted", message="node was low on memory"))
    assert not view.counts
    assert not view.is_running


@pytest.mark.parametrize("status", ["True", "False"])
def test_a_pod_has_a_node_once_the_scheduler_says_so(status: str) -> None:
    view = pod_view(pod_manifest(phase="Pending", conditions=[{"type": "PodScheduled", "status": status}]))
    assert view.has_node is (status == "True")
    assert not pod_view(pod_manifest(phase="Pending")).has_node


def owner(api_version: str = "lorapool.dev/v1alpha1", kind: str = "BaseModelPool", **fields: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "name": "shapes", "uid": "pool", "controller": True} | fields


def manifest(*owners: dict[str, Any], **body: Any) -> dict[str, Any]:
    meta = {"name": "o", "namespace": "n", "uid": "u", "resourceVersion": "12", "ownerReferences": list(owners)}
    return {"metadata": meta | body.pop("metadata", {}), **body}


@pytest.mark.parametrize(
    ("owners", "found"),
    [
        ((owner(),), "pool"),
        ((owner(uid="other", controller=False), owner()), "pool"),
        ((), None),
        ((owner(controller=False),), None),
        ((owner(api_version="apps/v1"),), None),
        ((owner(kind="Deployment"),), None),
    ],
)
def test_an_object_is_the_pools_that_controls_it(owners: Any, found: str | None) -> None:
    assert owned_view(manifest(*owners)).standing.owner == found
    assert deployment_view(manifest(*owners)).owner == found


def test_what_changes_the_spec_tells_drift_from_status_where_a_kind_knows_it() -> None:
    assert owned_view(manifest()).standing.mark == 12
    assert owned_view(manifest(metadata={"generation": 3})).standing.mark == 3


def test_the_replica_set_of_the_newest_template_is_the_one_of_the_highest_revision() -> None:
    def made(uid: str, revision: str, deployment: str = "u") -> ReplicaSetView:
        controller = owner("apps/v1", "Deployment", uid=deployment)
        annotations = {"deployment.kubernetes.io/revision": revision}
        return replica_set_view(manifest(controller, metadata={"uid": uid, "annotations": annotations}))

    sets = [made("a", "9"), made("b", "10"), made("c", "11", deployment="another"), made("d", "no number")]
    assert newest_replica_set(sets, deployment_view(manifest())) == "b"
    assert newest_replica_set([], deployment_view(manifest())) is None
    assert newest_replica_set(sets, None) is None


def test_a_deployment_tells_how_its_roll_out_fares() -> None:
    failure = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}
    since = {"lastTransitionTime": "2026-01-01T00:00:00Z"}
    late = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    stuck = deployment_view(manifest(spec={"paused": True}, status={"conditions": [failure | since, late]}))
    assert (stuck.failure, stuck.failing_since, stuck.is_late, stuck.is_paused) == (
        "exceeded quota",
        make.EPOCH,
        True,
        True,
    )
    good = [failure | since | {"status": "False"}, {"type": "Progressing", "status": "True", "reason": "x"}]
    fine = deployment_view(manifest(status={"conditions": good}))
    assert (fine.failure, fine.failing_since, fine.is_late, fine.is_paused) == (None, None, False, False)
