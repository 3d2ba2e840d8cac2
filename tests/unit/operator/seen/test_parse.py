"""Manifests of pods and Deployments, cut down to what decisions need."""

from typing import Any

import pytest
from tests import make

from lorapool_operator.seen.parse import pod_view
from lorapool_operator.seen.views import PodTrouble


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
