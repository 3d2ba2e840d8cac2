"""What a call of the API server is counted as."""

import pytest
from tests.unit.common.kube.api_server import ApiServer, refusal

from lorapool_common.kube.access import ClusterAccess
from lorapool_common.kube.calls.api_call import ApiCall, verb_and_resource
from lorapool_common.kube.client import Kube
from lorapool_common.kube.errors import ApiError
from lorapool_common.kube.resources import PODS

APPLY = "application/apply-patch+yaml"
LORAS = "/apis/lorapool.dev/v1alpha1/namespaces/team-a/loraadapters"


@pytest.mark.parametrize(
    ("method", "path", "query", "content_type", "counted"),
    [
        ("GET", LORAS, {}, "", ("list", "loraadapters")),
        ("GET", "/apis/lorapool.dev/v1alpha1/loraadapters", {"watch": "true"}, "", ("watch", "loraadapters")),
        ("PATCH", f"{LORAS}/pixel-art/status", {}, "application/merge-patch+json", ("patch", "loraadapters/status")),
        ("PATCH", "/apis/apps/v1/namespaces/a/deployments/x", {}, APPLY, ("apply", "deployments")),
        ("PATCH", "/apis/apps/v1/namespaces/a/deployments/x", {"dryRun": "All"}, APPLY, ("dry-run", "deployments")),
        ("GET", "/api/v1/namespaces/a/secrets/hub-token", {}, "", ("get", "secrets")),
        ("GET", "/api/v1/namespaces", {}, "", ("list", "namespaces")),
        ("GET", "/api/v1/namespaces/team-a", {}, "", ("get", "namespaces")),
        ("POST", "/apis/events.k8s.io/v1/namespaces/a/events", {}, "", ("create", "events")),
        ("PUT", "/apis/coordination.k8s.io/v1/namespaces/a/leases/l", {}, "", ("update", "leases")),
        ("GET", "/apis/lorapool.dev/v1alpha1", {}, "", ("get", "other")),
        ("GET", "/readyz", {}, "", ("get", "other")),
    ],
)
def test_a_call_has_a_verb_and_a_resource_and_no_name_of_an_object(
    method: str, path: str, query: dict[str, str], content_type: str, counted: tuple[str, str]
) -> None:
    assert verb_and_resource(method, path, query, content_type) == counted


async def test_each_call_is_told_of_with_its_code_also_where_there_is_no_answer() -> None:
    calls: list[ApiCall] = []
    server = ApiServer(lambda asked: refusal(409, "Conflict", "no") if asked.method == "PATCH" else {"items": []})
    async with server.running(), Kube(server.access, observe=calls.append) as kube:
        await kube.list(PODS, "team")
        with pytest.raises(ApiError):
            await kube.patch(PODS, "team", "one", {}, "status")
    async with Kube(ClusterAccess("http://127.0.0.1:1"), observe=calls.append) as kube:
        with pytest.raises(ApiError):
            await kube.get(PODS, "team", "one")
    assert [(call.verb, call.resource, call.code) for call in calls] == [
        ("list", "pods", "200"),
        ("patch", "pods/status", "409"),
        ("get", "pods", "unreachable"),
    ]
    assert all(call.seconds > 0 for call in calls)
