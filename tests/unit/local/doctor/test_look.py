"""How a cluster is looked at: with the rights of whoever asks."""

from typing import Any

from tests.unit.chart.helm import one, render
from tests.unit.local.doctor.clusters import NOW, OPERATOR, deployment, lease

from lorapool_common.kube.errors import ApiError
from lorapool_common.kube.resources import Resource
from lorapool_local.doctor.look import RIGHTS, Look

CRD = {"metadata": {"name": "x"}, "status": {"conditions": [{"type": "Established", "status": "True"}]}}


class FakeCluster:
    """Lists what it holds; refuses what it shall refuse; allows what is not denied."""

    def __init__(self, forbidden: set[str] = frozenset(), denied: set[str] = frozenset()) -> None:  # type: ignore[assignment]
        self.forbidden = forbidden
        self.denied = denied
        self.asked: list[dict[str, Any]] = []
        self.objects: dict[str, list[dict[str, Any]]] = {
            "deployments": [deployment(OPERATOR, watched="team-a")],
            "leases": [lease()],
        }

    def _check(self, plural: str) -> None:
        if plural in self.forbidden:
            raise ApiError(403, "Forbidden", "you may not")

    async def get(self, resource: Resource, namespace: str | None, name: str) -> dict[str, Any]:
        self._check(resource.plural)
        return CRD

    async def list(
        self, resource: Resource, namespace: str | None = None, labels: str | None = None
    ) -> list[dict[str, Any]]:
        self._check(resource.plural)
        return self.objects.get(resource.plural, [])

    async def create(self, resource: Resource, namespace: str | None, body: dict[str, Any]) -> dict[str, Any]:
        self._check(resource.plural)
        self.asked.append(body["spec"])
        attributes = body["spec"]["resourceAttributes"]
        return {"status": {"allowed": f"{attributes['verb']} {attributes['resource']}" not in self.denied}}


async def test_rights_are_asked_for_the_operators_account_in_the_namespaces_that_it_watches() -> None:
    cluster = FakeCluster(denied={"patch pods"})
    facts = await Look(cluster, None).facts(NOW)
    assert facts.denied == ("patch pods in team-a",)
    assert {spec["user"] for spec in cluster.asked} == {f"system:serviceaccount:lorapool-system:{OPERATOR}"}
    assert {spec["resourceAttributes"]["namespace"] for spec in cluster.asked} == {"team-a"}


async def test_what_the_user_may_not_read_is_left_out_and_said() -> None:
    everything = {"customresourcedefinitions", "subjectaccessreviews", "leases", "pods"}
    facts = await Look(FakeCluster(forbidden=everything), "team-a").facts(NOW)
    assert facts.denied is None
    assert (facts.crds, facts.leases) == ({}, ())
    assert facts.unreadable == ("customresourcedefinitions", "pods", "leases")


def test_the_rights_that_are_asked_for_are_among_those_of_the_chart() -> None:
    role = one(render(), "ClusterRole", OPERATOR)
    granted = {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert {(group, resource, verb) for group, resource, verbs in RIGHTS for verb in verbs} <= granted
