"""Requests in the background: begun, followed, asked for, ended; whose they are, and for how long."""

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.unit.gateway.fakes import PREVIEW, FakePod, World, encoded_image
from tests.waiting import until

from lorapool_api.wire.request import ImageFormat
from lorapool_gateway.kept.kept import Kept

GENERATE = {"url": "/v1/images/generations", "body": {"prompt": "a cat", "seed": 5}}
PICTURE = base64.b64encode(encoded_image(3, ImageFormat.PNG)).decode()


class Clock:
    """Seconds since 1970 that a test sets."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


async def begin(client: httpx.AsyncClient, said: Any = GENERATE, **headers: str) -> dict[str, Any]:
    reply = await client.post("/v1/jobs", json=said, headers=headers)
    assert reply.status_code == 202, reply.text
    found: dict[str, Any] = reply.json()
    assert reply.headers["location"] == f"/v1/jobs/{found['id']}"
    return found


async def over(client: httpx.AsyncClient, id_: str) -> dict[str, Any]:
    """The status when it is over."""
    async with asyncio.timeout(30), client.stream("GET", f"/v1/jobs/{id_}/events") as reply:
        text = "".join([piece async for piece in reply.aiter_text()])
    assert text.rstrip().rpartition("\n\n")[2].startswith("event: done\n")
    found: dict[str, Any] = (await client.get(f"/v1/jobs/{id_}")).json()
    return found


@pytest.mark.parametrize(
    ("url", "body"),
    [
        ("/v1/images/generations", {"prompt": "a cat", "seed": 5}),
        ("/v1/images/edits", {"prompt": "a cat", "image": PICTURE, "seed": 5}),
        ("/v1/images/variations", {"image": PICTURE, "seed": 5}),
        ("/sdapi/v1/txt2img", {"prompt": "a <lora:pixel:0.5>", "seed": 5}),
        ("/sdapi/v1/img2img", {"prompt": "a", "init_images": [PICTURE], "seed": 5}),
        ("/", {"inputs": "a cat", "parameters": {"seed": 5}}),
        ("/models/pixel", {"inputs": "a cat", "parameters": {"seed": 5}}),
        ("/hf-inference/models/nerijs%2Fpixel-art-xl", {"inputs": "a cat", "parameters": {"seed": 5}}),
        ("/pools/default/shapes/v1/images/generations", {"prompt": "a cat", "seed": 5}),
    ],
)
async def test_the_answer_is_that_of_the_path(world: World, pod: FakePod, url: str, body: dict[str, Any]) -> None:
    async with world.client() as client:
        begun = await begin(client, {"url": url, "body": body, "custom_id": "mine"})
        assert (begun["status"], begun["custom_id"], begun["object"]) == ("queued", "mine", "job")
        status = await over(client, begun["id"])
        assert (status["status"], status["status_code"], status["pool"]) == ("succeeded", 200, "default/shapes")
        kept, asked = await client.get(f"/v1/jobs/{begun['id']}/result"), await client.post(url, json=body)
    assert kept.status_code == asked.status_code == 200
    assert kept.headers["content-type"] == asked.headers["content-type"]
    assert kept.headers["x-lorapool-seed"] == "5"
    if kept.headers["content-type"].startswith("image/"):
        assert kept.content == asked.content == encoded_image(5, ImageFormat.JPEG)
    else:
        # Of the rest each says when it was made.
        assert kept.json().get("data") == asked.json().get("data")
        assert kept.json().get("images") == asked.json().get("images")


async def test_what_the_path_refuses_is_the_answer_too(world: World, pod: FakePod) -> None:
    async with world.client() as client:
        begun = await begin(client, {"url": "/v1/images/generations", "body": {"prompt": "a", "model": "pixell"}})
        status = await over(client, begun["id"])
        reply = await client.get(f"/v1/jobs/{begun['id']}/result")
    assert (status["status"], status["status_code"], reply.status_code) == ("failed", 404, 404)
    assert "'pixel'" in reply.json()["error"]["message"]


async def test_headers_and_the_pool_in_the_address_count_for_it(world: World, pod: FakePod) -> None:
    world.pool("photos")
    photos = world.pod("pod-b", pool="default/photos")
    async with world.client() as client:
        reply = await client.post("/pools/default/photos/v1/jobs", json=GENERATE)
        await over(client, reply.json()["id"])
        begun = await begin(client, lora="pixel:0.5", **{"x-lorapool-pool": "default/shapes"})
        await over(client, begun["id"])
    assert len(photos.received) == 1
    assert [(use.key, use.scale) for use in pod.received[0].adapters] == [("default/pixel", 0.5)]


async def test_it_is_followed_by_events(world: World) -> None:
    pod = world.pod(hold=asyncio.Event())
    async with world.client() as client:
        begun = await begin(client, GENERATE | {"previews": 2})
        await pod.got_one.wait()
        assert pod.received[0].previews == 2
        running = (await client.get(f"/v1/jobs/{begun['id']}")).json()
        assert (running["status"], running["step"], running["steps"]) == ("running", 4, 4)
        early = await client.get(f"/v1/jobs/{begun['id']}/result")
        assert (early.status_code, early.json()["status"], early.headers["retry-after"]) == (202, "running", "1")
        assert pod.hold is not None
        pod.hold.set()
        reply = await client.get(f"/v1/jobs/{begun['id']}/events")
    assert reply.headers["content-type"].startswith("text/event-stream")
    events = [text.split("\ndata: ") for text in reply.text.split("\n\n")[:-1]]
    assert [name for name, _ in events] == [f"event: {n}" for n in ("queued", "started", "step", "preview", "done")]
    said = {name.removeprefix("event: "): json.loads(data) for name, data in events}
    assert said["step"] == {"step": 4, "steps": 4}
    assert said["preview"]["b64_json"] == PREVIEW
    assert (said["done"]["status"], said["done"]["status_code"]) == ("succeeded", 200)


async def test_its_end_is_one_in_the_pod(world: World) -> None:
    pod = world.pod(hold=asyncio.Event())
    async with world.client() as client:
        begun = await begin(client)
        await pod.got_one.wait()
        ended = await client.delete(f"/v1/jobs/{begun['id']}")
        assert (ended.status_code, ended.json()["status"]) == (200, "cancelled")
        await asyncio.wait_for(pod.was_cancelled.wait(), 10)
        assert (await client.get(f"/v1/jobs/{begun['id']}")).json()["status"] == "cancelled"
        assert (await client.get(f"/v1/jobs/{begun['id']}/result")).status_code == 410
        assert (await client.delete(f"/v1/jobs/{begun['id']}")).status_code == 200
        assert (await client.get(f"/v1/jobs/{begun['id']}")).status_code == 410


async def test_one_that_is_over_is_forgotten_when_it_is_ended(world: World, pod: FakePod) -> None:
    async with world.client() as client:
        begun = await begin(client)
        await over(client, begun["id"])
        assert (await client.delete(f"/v1/jobs/{begun['id']}")).json()["status"] == "succeeded"
        assert (await client.get(f"/v1/jobs/{begun['id']}/result")).status_code == 410


async def test_places_are_told_in_the_order_in_which_they_came(world: World) -> None:
    pod = world.pod(hold=asyncio.Event(), steps=0)
    async with world.client() as client:
        ids = [(await begin(client))["id"] for _ in range(3)]
        await until(lambda: len(pod.received) == 3)
        assert [(await client.get(f"/v1/jobs/{id_}")).json()["place"] for id_ in ids] == [1, 2, 3]
        await client.delete(f"/v1/jobs/{ids[0]}")
        assert [(await client.get(f"/v1/jobs/{id_}")).json()["place"] for id_ in ids] == [None, 1, 2]
        for id_ in ids[1:]:
            await client.delete(f"/v1/jobs/{id_}")


async def test_the_answer_is_kept_for_its_time() -> None:
    clock = Clock()
    world = World(kept=Kept(clock=clock, keep_s=60))
    world.pool()
    world.pod()
    async with world.client() as client:
        begun = await begin(client)
        status = await over(client, begun["id"])
        assert status["expires_at"] - status["finished_at"] == 60
        clock.now += 59
        assert (await client.get(f"/v1/jobs/{begun['id']}/result")).status_code == 200
        clock.now += 1
        for path in ("", "/result", "/events"):
            reply = await client.get(f"/v1/jobs/{begun['id']}{path}")
            assert (reply.status_code, reply.json()["error"]["code"]) == (410, "gone")


async def test_an_answer_that_is_too_large_to_keep_is_a_507(pod: FakePod) -> None:
    world = World(kept=Kept(max_bytes=4 << 10))
    world.pool()
    world.pod()
    async with world.client() as client:
        begun = await begin(client)
        assert (await over(client, begun["id"]))["status_code"] == 507


async def test_what_one_key_has_is_unknown_to_all_others(tmp_path: Path) -> None:
    for name in ("alice", "bob"):
        (tmp_path / name).write_text(name)
    world = World(keys=tmp_path)
    world.pool()
    world.pod()
    async with world.client(authorization="Bearer alice") as alice, world.client(authorization="Bearer bob") as bob:
        assert (await world.client().post("/v1/jobs", json=GENERATE)).status_code == 401
        begun = await begin(alice)
        for method, path in (("GET", ""), ("GET", "/result"), ("GET", "/events"), ("DELETE", "")):
            reply = await bob.request(method, f"/v1/jobs/{begun['id']}{path}")
            assert (reply.status_code, reply.json()["error"]["code"]) == (404, "id_not_found")
        assert (await over(alice, begun["id"]))["status"] == "succeeded"


@pytest.mark.parametrize(
    "said",
    [
        {"url": "/v1/models", "body": {}},
        {"url": "/v1/jobs", "body": GENERATE},
        {"url": "/pools/default/shapes/v1/jobs", "body": GENERATE},
        {"url": "http://elsewhere/v1/images/generations", "body": {}},
        {"url": "//elsewhere", "body": {}},
        {"url": "/?lora=pixel", "body": {}},
        {"url": "/models/a%0d%0ab", "body": {}},
        {"url": "/models/%ff%fe", "body": {}},
        {"url": "/v1/images/generations", "body": []},
        {"url": "/v1/images/generations", "body": {"prompt": "a", "stream": True}},
        {"url": "/v1/images/generations", "body": {}, "method": "GET"},
        {"url": "/v1/images/generations", "body": {}, "previews": 99},
        {"url": "/v1/images/generations", "body": {}, "colour": "red"},
        [],
    ],
)
async def test_what_is_no_request_for_images_is_refused(world: World, pod: FakePod, said: Any) -> None:
    async with world.client() as client:
        reply = await client.post("/v1/jobs", json=said)
    assert (reply.status_code, reply.json()["error"]["type"]) == (400, "invalid_request_error")
    assert not pod.received
