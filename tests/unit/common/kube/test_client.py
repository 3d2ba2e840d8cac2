"""The client against a real HTTP server."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from tests.unit.common.kube.api_server import Answer, ApiServer, Asked, Silence, event, refusal

from lorapool_common.kube.access import ClusterAccess
from lorapool_common.kube.client import STRATEGIC_PATCH, Kube
from lorapool_common.kube.errors import ApiError
from lorapool_common.kube.resources import (
    DEPLOYMENTS,
    LEASES,
    NODES,
    PODS,
    SECRETS,
    SERVICE_ACCOUNTS,
    Resource,
    Selection,
    resource_of,
)

POD = {"metadata": {"name": "one"}}


@asynccontextmanager
async def client(answer: Callable[[Asked], Answer], **options: Any) -> AsyncIterator[tuple[Kube, ApiServer]]:
    server = ApiServer(answer)
    async with server.running(), Kube(server.access, **options) as kube:
        yield kube, server


async def test_each_verb_goes_to_the_address_of_its_object() -> None:
    async with client(lambda _: POD, field_manager="me") as (kube, server):
        assert await kube.get(PODS, "team", "one") == POD
        await kube.create(LEASES, "team", POD)
        await kube.replace(LEASES, "team", "one", POD)
        await kube.patch(PODS, "team", "one", POD, "status")
        await kube.patch(NODES, None, "one", POD, content_type=STRATEGIC_PATCH)
        await kube.create(SERVICE_ACCOUNTS, "team", POD, "one", "token")
        await kube.delete(PODS, "team", "one", {"gracePeriodSeconds": 0})
    leases = "/apis/coordination.k8s.io/v1/namespaces/team/leases"
    assert [(asked.method, asked.path) for asked in server.asked] == [
        ("GET", "/api/v1/namespaces/team/pods/one"),
        ("POST", leases),
        ("PUT", f"{leases}/one"),
        ("PATCH", "/api/v1/namespaces/team/pods/one/status"),
        ("PATCH", "/api/v1/nodes/one"),
        ("POST", "/api/v1/namespaces/team/serviceaccounts/one/token"),
        ("DELETE", "/api/v1/namespaces/team/pods/one"),
    ]
    assert [a.headers["Content-Type"] for a in server.asked[3:5]] == [
        "application/merge-patch+json",
        "application/strategic-merge-patch+json",
    ]
    assert server.asked[3].query == {"fieldManager": "me"}
    assert server.asked[-1].body == {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}
    assert {asked.headers["Authorization"] for asked in server.asked} == {"Bearer first"}


async def test_a_manifest_is_applied_where_it_says() -> None:
    manifest = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "namespace": "team"}}
    async with client(lambda _: manifest, field_manager="me") as (kube, server):
        await kube.apply(manifest)
    (asked,) = server.asked
    assert (asked.method, asked.path) == ("PATCH", "/apis/apps/v1/namespaces/team/deployments/a")
    assert asked.query == {"fieldManager": "me", "force": "true"}
    assert asked.headers["Content-Type"] == "application/apply-patch+yaml"
    assert asked.body == manifest


def test_a_kind_is_found_by_what_a_manifest_calls_it() -> None:
    assert resource_of({"apiVersion": "apps/v1", "kind": "Deployment"}) is DEPLOYMENTS
    with pytest.raises(KeyError, match="v1 Widget"):
        resource_of({"apiVersion": "v1", "kind": "Widget"})


def test_a_name_cannot_leave_its_place_in_an_address() -> None:
    assert SECRETS.path("team", "../a b") == "/api/v1/namespaces/team/secrets/..%2Fa%20b"


async def test_a_list_is_read_in_pages() -> None:
    def answer(asked: Asked) -> Answer:
        is_last = "continue" in asked.query
        metadata = {"resourceVersion": "7"} | ({} if is_last else {"continue": "more"})
        return {"items": [{"n": 2 if is_last else 1}], "metadata": metadata}

    async with client(answer) as (kube, server):
        listing = await kube.listing(Selection(PODS, "team", labels="pool", fields="spec.nodeName=a"))
        assert (listing.items, listing.version) == ([{"n": 1}, {"n": 2}], "7")
        assert await kube.list(PODS) == [{"n": 1}, {"n": 2}]
    asked = {"limit": "500", "labelSelector": "pool", "fieldSelector": "spec.nodeName=a"}
    assert [a.query for a in server.asked[:2]] == [asked, asked | {"continue": "more"}]
    assert server.asked[2].path == "/api/v1/pods"


async def test_a_watch_brings_changes_of_any_length_and_no_bookmarks() -> None:
    big = {"metadata": {"name": "big"}, "x": "y" * (1 << 20)}
    gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
    said = event("BOOKMARK", {}) + event("ADDED", big) + event("ERROR", gone)
    async with client(lambda _: web.Response(body=said)) as (kube, server):
        changes = kube.watch(Selection(PODS), "7")
        assert await anext(changes) == ("ADDED", big)
        with pytest.raises(ApiError, match="too old") as raised:
            await anext(changes)
    assert raised.value.is_expired
    assert server.asked[0].query == {
        "watch": "true",
        "resourceVersion": "7",
        "allowWatchBookmarks": "true",
        "timeoutSeconds": "300",
    }


async def test_a_line_that_has_no_end_ends_the_watch() -> None:
    async with client(lambda _: web.Response(body=b"x" * 5000), max_line_bytes=4096) as (kube, _):
        with pytest.raises(ApiError, match="more than 4096 bytes"):
            await anext(kube.watch(Selection(PODS), "7"))


async def test_a_watch_that_is_silent_for_too_long_ends() -> None:
    async with client(lambda _: Silence(event("ADDED", POD)), silence_s=0.05) as (kube, _):
        changes = kube.watch(Selection(PODS), "7")
        assert await anext(changes) == ("ADDED", POD)
        with pytest.raises(ApiError, match="Timeout") as raised:
            await anext(changes)
    assert raised.value.status == 0


async def test_a_watch_that_is_refused_says_why() -> None:
    async with client(lambda _: refusal(403, "Forbidden", "you may not")) as (kube, _):
        with pytest.raises(ApiError, match="403 Forbidden: you may not"):
            await anext(kube.watch(Selection(PODS), "7"))


async def test_a_refusal_keeps_its_reason_and_its_causes() -> None:
    answer = refusal(403, "Forbidden", "it is being terminated", "NamespaceTerminating")
    async with client(lambda _: answer) as (kube, _):
        with pytest.raises(ApiError) as raised:
            await kube.create(PODS, "team", POD)
    error = raised.value
    assert (error.status, error.reason, error.message) == (403, "Forbidden", "it is being terminated")
    assert error.is_namespace_terminating
    assert error.is_refusal


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7.0), (None, 0.0), ("-1", 0.0), ("Fri, 31 Dec", 0.0), ("٣", 0.0)]
)
async def test_a_refusal_says_when_to_try_again(header: str | None, seconds: float) -> None:
    def answer(_: Asked) -> web.Response:
        answered = refusal(429, "TooManyRequests", "slow down")
        answered.headers.update({} if header is None else {"Retry-After": header})
        return answered

    async with client(answer) as (kube, _):
        with pytest.raises(ApiError, match="slow down") as raised:
            await kube.get(PODS, "team", "one")
        assert raised.value.retry_after_s == seconds
        with pytest.raises(ApiError, match="slow down") as raised:
            await anext(kube.watch(Selection(PODS), "7"))
        assert raised.value.retry_after_s == seconds


async def test_an_answer_that_is_no_json_is_an_error_of_its_own() -> None:
    async with client(lambda _: web.Response(text="<html>")) as (kube, _):
        with pytest.raises(ApiError, match="no JSON"):
            await kube.get(PODS, "team", "one")
    async with client(lambda _: web.Response(text="bad gateway", status=502)) as (kube, _):
        with pytest.raises(ApiError, match="502 502: bad gateway"):
            await kube.get(PODS, "team", "one")


async def test_a_server_that_is_not_there_is_an_error_without_a_status(unused_tcp_port: int) -> None:
    async with Kube(ClusterAccess(f"http://127.0.0.1:{unused_tcp_port}")) as kube:
        with pytest.raises(ApiError) as raised:
            await kube.get(PODS, "team", "one")
        assert not await kube.is_healthy()
    assert (raised.value.status, raised.value.reason) == (0, "Unreachable")


async def test_the_environment_s_proxies_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with client(lambda _: POD) as (kube, _):
        assert await kube.get(PODS, "team", "one") == POD


async def test_whether_a_kind_is_served() -> None:
    def answer(asked: Asked) -> Answer:
        known = asked.path == "/apis/x.dev/v1"
        return {"resources": [{"name": "widgets"}]} if known else refusal(404, "NotFound", "no such group")

    async with client(answer) as (kube, _):
        assert await kube.serves(Resource("x.dev", "v1", "widgets", "Widget"))
        assert not await kube.serves(Resource("x.dev", "v1", "gadgets", "Gadget"))
        assert not await kube.serves(Resource("y.dev", "v1", "widgets", "Widget"))


async def test_logs_come_as_text() -> None:
    async with client(lambda _: web.Response(text="line\n")) as (kube, server):
        assert await kube.text("/api/v1/namespaces/team/pods/one/log", {"container": "main"}) == "line\n"
    assert server.asked[0].query == {"container": "main"}


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ({"metadata": {"uid": "a"}}, {"uid": "a"}),
        (web.json_response({"metadata": {"uid": "a"}}, status=201), None),
        (refusal(422, "Invalid", "spec.ports: Required value"), None),
    ],
)
async def test_an_object_is_looked_at_without_a_right_to_read_it(answer: Answer, found: object) -> None:
    """201, and a complaint about what is missing: the API server would have made one."""
    async with client(lambda _: answer, field_manager="me") as (kube, server):
        assert await kube.look(SECRETS, "team", "one") == found
    (asked,) = server.asked
    assert (asked.method, asked.path) == ("PATCH", "/api/v1/namespaces/team/secrets/one")
    assert asked.query == {"dryRun": "All", "fieldManager": "look"}
    assert asked.body == {"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": "team", "name": "one"}}
    assert "PartialObjectMetadata" in asked.headers["Accept"]


async def test_who_may_not_look_is_told() -> None:
    async with client(lambda _: refusal(403, "Forbidden", "no")) as (kube, _):
        with pytest.raises(ApiError) as refused:
            await kube.look(SECRETS, "team", "one")
    assert refused.value.status == 403
