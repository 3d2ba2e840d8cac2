"""Which paths and methods answer, and what every answer carries."""

import json
from typing import Any

import httpx
import pytest
from tests.unit.gateway.fakes import FakePod, World

from lorapool_gateway.cluster.directory import Directory
from lorapool_gateway.cluster.snapshot import Snapshot
from lorapool_gateway.settings import Settings


async def send(world: World, method: str, path: str, **sent: Any) -> httpx.Response:
    async with world.client() as client:
        return await client.request(method, path, **sent)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/metrics"),
        ("GET", "/redoc"),
        ("GET", "/v1/openapi.json"),
        ("GET", "/sdapi/v1/lora"),
        ("GET", "/object_info"),
        ("HEAD", "/metrics"),
        ("POST", "/sdapi/v1/txt2video"),
        ("POST", "/any/other/path"),
        ("DELETE", "/nothing"),
        ("GET", "/v1/engines"),
    ],
)
async def test_what_is_not_served_is_a_404_that_says_what_is(
    world: World, pod: FakePod, method: str, path: str
) -> None:
    reply = await send(world, method, path)
    assert reply.status_code == 404
    assert reply.headers["x-should-retry"] == "false"
    assert method == "HEAD" or "/v1/images/generations" in reply.text
    assert not pod.received


@pytest.mark.parametrize(
    "path", ["/", "/health", "/models/pixel", "/hf-inference/models/nerijs/pixel-art-xl", "/v1/models"]
)
async def test_get_and_head_say_what_is_there(world: World, path: str) -> None:
    got, head = await send(world, "GET", path), await send(world, "HEAD", path)
    assert (got.status_code, head.status_code, head.content) == (200, 200, b"")
    assert path.startswith("/v1") or got.json() == {"ok": True}


async def test_a_model_that_nobody_has_is_not_there(world: World) -> None:
    reply = await send(world, "GET", "/models/pixell")
    assert reply.status_code == 404
    assert "'pixel'" in reply.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/", "GET, HEAD, OPTIONS, POST"),
        ("DELETE", "/models/pixel", "GET, HEAD, OPTIONS, POST"),
        ("POST", "/v1/models", "GET, HEAD, OPTIONS"),
        ("GET", "/v1/images/generations", "OPTIONS, POST"),
    ],
)
async def test_a_method_that_a_path_does_not_take_is_a_405_with_those_it_takes(
    world: World, method: str, path: str, allowed: str
) -> None:
    reply = await send(world, method, path)
    assert (reply.status_code, reply.headers["allow"]) == (405, allowed)
    asked = await send(world, "OPTIONS", path)
    assert (asked.status_code, asked.headers["allow"]) == (204, allowed)


async def test_every_answer_has_an_id_that_is_the_clients_own_where_it_sent_one(world: World, pod: FakePod) -> None:
    mine = {"x-request-id": "job-17/a"}
    assert (await send(world, "POST", "/", content="a cat", headers=mine)).headers["x-request-id"] == "job-17/a"
    assert (await send(world, "POST", "/nothing", headers=mine)).headers["x-request-id"] == "job-17/a"
    made = [(await send(world, "GET", "/")).headers["x-request-id"] for _ in range(2)]
    assert len({*made}) == 2
    hostile = {"x-request-id": "a b" * 100}
    assert len((await send(world, "GET", "/", headers=hostile)).headers["x-request-id"]) == 32


class BrokenDirectory(Directory):
    """One with a defect."""

    def snapshot(self) -> Snapshot:
        raise ZeroDivisionError


async def test_an_answer_to_a_defect_has_the_id_too() -> None:
    world = World(directory=BrokenDirectory())
    reply = await send(world, "POST", "/", content="a cat", headers={"x-request-id": "job-18"})
    assert (reply.status_code, reply.headers["x-request-id"]) == (500, "job-18")


async def test_no_page_of_another_origin_may_call_unless_it_is_named() -> None:
    assert Settings().cors_origins == ()
    closed = World(origins=Settings().cors_origins)
    closed.pool()
    closed.pod()
    page = {"origin": "https://app.example.org", "access-control-request-method": "POST"}
    preflight = await send(closed, "OPTIONS", "/", headers=page)
    reply = await send(closed, "POST", "/", content="a cat", headers=page)
    assert "access-control-allow-origin" not in preflight.headers
    assert "access-control-allow-origin" not in reply.headers


async def test_what_a_pod_says_can_neither_split_a_header_nor_fill_all_room(world: World, pod: FakePod) -> None:
    pod.name = "pod\r\nset-cookie: a=b\u2028" + "x" * 9000
    pod.base_revision = "r\n\n<html>"
    pod.warnings = tuple(f"{'é' * 500} number {i}" for i in range(50))
    reply = await send(world, "POST", "/", json={"inputs": "a", "lora": "pixel, ink"})
    assert reply.status_code == 200, reply.text
    assert "set-cookie" not in reply.headers
    assert sum(len(name) + len(value) + 4 for name, value in reply.headers.raw) < 4000
    assert "more" in json.loads(reply.headers["x-lorapool-warnings"])[-1]


async def test_warnings_of_the_pod_reach_the_client(world: World, pod: FakePod) -> None:
    pod.warnings = ("the prompt was cut",)
    reply = await send(world, "POST", "/", json={"inputs": "a", "clip_skip": 2})
    assert json.loads(reply.headers["x-lorapool-warnings"]) == ["'clip_skip' has no effect here", "the prompt was cut"]
