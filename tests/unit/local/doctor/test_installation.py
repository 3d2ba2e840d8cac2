"""What is wrong with an installation, in the order in which one thing needs the other."""

from typing import Any

import pytest
from tests.unit.local.doctor.clusters import GATEWAY, OPERATOR, deployment, lease, pod, well

from lorapool_local.doctor.diagnosis import Diagnosis
from lorapool_local.doctor.installation import CRDS, check_installation

STUCK: dict[str, Any] = {
    "containerStatuses": [
        {
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"message": "starting\nthe operator's key cannot be read"}},
        }
    ]
}


def troubles(**changes: Any) -> list[Diagnosis]:
    return [finding for finding in check_installation(well(**changes)) if finding.is_trouble]


def test_of_a_sound_installation_all_is_said_to_be_well() -> None:
    found = check_installation(well())
    assert not troubles()
    assert [f.about.split()[0] for f in found] == ["definition", "definition", "operator", "lease", "rights", "gateway"]


@pytest.mark.parametrize(
    ("changes", "about", "what", "remedy"),
    [
        ({"crds": dict.fromkeys(CRDS)}, "definition", "not installed", "crds.install=true"),
        ({"crds": {name: {"status": {}} for name in CRDS}}, "definition", "not served", "kubectl describe crd"),
        ({"deployments": (deployment(GATEWAY),)}, "operator", "there is none", "helm upgrade"),
        ({"deployments": (deployment(OPERATOR, 0, 0), deployment(GATEWAY))}, "operator", "scaled to 0", "scale"),
        ({"deployments": (deployment(OPERATOR), deployment(GATEWAY, 1, 2))}, "gateway", "1 of 2", "wait"),
        ({"leases": ()}, "lease", "there is none", "helm upgrade"),
        ({"leases": (lease(None),)}, "lease", "nobody leads", "logs"),
        ({"leases": (lease(age_s=400),)}, "lease", "not renewed it for 400 s", "delete its pod"),
        ({"denied": ("patch loraadapters",)}, "rights", "may not patch loraadapters", "helm upgrade"),
        ({"unreadable": ("leases",)}, "this user", "may not read leases", "ask as somebody"),
    ],
)
def test_what_is_wrong_is_said_with_what_to_do(changes: dict[str, Any], about: str, what: str, remedy: str) -> None:
    first = troubles(**changes)[0]
    assert first.about.startswith(about)
    assert what in first.what
    assert remedy in first.remedy


def test_a_pod_that_crashes_is_quoted() -> None:
    (found,) = troubles(deployments=(deployment(OPERATOR, 0), deployment(GATEWAY)), pods=(pod(**STUCK),))
    assert found.what == "no pod is ready: CrashLoopBackOff: the operator's key cannot be read"


def test_what_comes_first_is_what_the_rest_needs() -> None:
    found = troubles(crds=dict.fromkeys(CRDS), deployments=(), leases=(), denied=None)
    assert [f.about.split()[0] for f in found] == ["definition", "definition", "operator", "gateway"]
