"""A stack with a name, and the defaults of adapters, through both dialects."""

from typing import Any

import httpx
import pytest
from tests.unit.gateway.fakes import FakePod, World

HF, OPENAI = "/models/comic", "/v1/images/generations"
PREFIX = "default/"


@pytest.fixture
def world(world: World) -> World:
    world.adapter("fast", defaults={"steps": 4, "guidanceScale": 1, "scheduler": "lcm", "negativePrompt": "grey"})
    members = [{"name": "nerijs/pixel-art-xl", "scale": 0.8}, {"name": "fast"}]
    world.adapter("comic", source={"stack": members}, scale=0.5)
    return world


async def ask(world: World, path: str, **said: Any) -> httpx.Response:
    """A request for the stack as a client of that dialect sends it."""
    body = {"inputs": "a cat", "parameters": said} if path == HF else {"prompt": "a cat", "model": "comic", **said}
    async with world.client() as client:
        return await client.post(path, json=body)


@pytest.mark.parametrize("path", [HF, OPENAI])
async def test_pods_get_the_members_of_a_stack_and_what_the_request_leaves_open(
    world: World, pod: FakePod, path: str
) -> None:
    reply = await ask(world, path)
    assert reply.status_code == 200, reply.text
    (sent,) = pod.received
    assert [(use.key.removeprefix(PREFIX), use.scale) for use in sent.adapters] == [("pixel", 0.4), ("fast", 0.5)]
    assert (sent.steps, sent.guidance_scale, sent.scheduler, sent.negative_prompt) == (4, 1.0, "lcm", "grey")


@pytest.mark.parametrize("path", [HF, OPENAI])
async def test_what_a_request_says_is_what_it_gets(world: World, pod: FakePod, path: str) -> None:
    said = {"num_inference_steps": 9, "guidance_scale": 3, "scheduler": "ddim", "negative_prompt": ""}
    reply = await ask(world, path, **said, loras=[{"name": "comic", "scale": 2}, {"name": "ink"}])
    assert reply.status_code == 200, reply.text
    (sent,) = pod.received
    assert (sent.steps, sent.guidance_scale, sent.scheduler, sent.negative_prompt) == (9, 3.0, "ddim", "")
    assert [(use.key.removeprefix(PREFIX), use.scale) for use in sent.adapters] == [
        ("pixel", 1.6),
        ("fast", 2.0),
        ("ink", None),
    ]


@pytest.mark.parametrize("path", [HF, OPENAI])
async def test_an_adapter_beside_the_stack_that_has_it_is_a_400(world: World, pod: FakePod, path: str) -> None:
    reply = await ask(world, path, loras=["pixel"])
    assert (reply.status_code, "named twice" in reply.text, pod.received) == (400, True, [])


async def test_a_stack_is_in_the_list_of_models(world: World) -> None:
    async with world.client() as client:
        rows = {row["id"]: row for row in (await client.get("/v1/models")).json()["data"]}
    assert rows["comic"]["stack"] == [{"name": "default/pixel", "scale": 0.8}, {"name": "default/fast", "scale": 1.0}]
    assert rows["comic"]["defaults"] == rows["fast"]["defaults"]
