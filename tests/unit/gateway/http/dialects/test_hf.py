"""The Hugging Face shape."""

import asyncio
import io
import json

import pytest
from PIL import Image
from tests.unit.gateway.fakes import SHA, FakePod, World, encoded_image
from tests.waiting import until

from lorapool_api.kinds.serving import PromptSyntax, SchedulerName, TimestepSpacing
from lorapool_api.wire.request import ImageFormat
from lorapool_gateway.http.fields.accept import preferred_format


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, "jpeg"),
        ("*/*", "jpeg"),
        ("image/png", "png"),
        ("image/jpg", "jpeg"),
        ("image/webp;q=0.9, image/png;q=0.8", "webp"),
        ("image/*;q=0.2, image/bmp", "bmp"),
        ("image/jpeg;q=0, image/*", "png"),
        ("text/html, */*;q=0.1", "jpeg"),
        ("image/png;q=nonsense, image/tiff;q=0.1", "tiff"),
        ("application/json", "jpeg"),
    ],
)
def test_the_image_has_the_format_that_accept_prefers(accept: str | None, expected: str) -> None:
    assert preferred_format(accept) is ImageFormat(expected)


async def test_a_raw_prompt_makes_an_image_of_the_base(world: World, pod: FakePod) -> None:
    async with world.client() as client:
        reply = await client.post("/", content="a cat")
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(reply.content)).format == "JPEG"
    assert (pod.received[0].prompt, pod.received[0].adapters) == ("a cat", ())


async def test_json_parameters_reach_the_pod(world: World, pod: FakePod) -> None:
    parameters = {
        "negative_prompt": "blur",
        "height": 64,
        "width": 128,
        "num_inference_steps": 4,
        "guidance_scale": 0,
        "scheduler": "LCMScheduler",
        "timestep_spacing": "trailing",
        "prompt_syntax": "Compel",
        "seed": 42,
    }
    async with world.client(accept="image/png") as client:
        reply = await client.post("/models/pixel", json={"inputs": "a cat", "parameters": parameters})
    assert reply.content == encoded_image(42, ImageFormat.PNG)
    got = pod.received[0]
    assert (got.negative_prompt, got.width, got.height, got.steps) == ("blur", 128, 64, 4)
    assert (got.guidance_scale, got.scheduler, got.seed) == (0, SchedulerName.LCM, 42)
    assert got.timestep_spacing is TimestepSpacing.TRAILING
    assert got.prompt_syntax is PromptSyntax.COMPEL
    assert [use.key for use in got.adapters] == ["default/pixel"]


async def test_the_answer_says_how_it_was_made(world: World, pod: FakePod) -> None:
    async with world.client(lora="nerijs/pixel-art-xl:0.5") as client:
        reply = await client.post("/", json={"inputs": "a cat", "parameters": {"seed": 5, "clip_skip": 1}})
    headers = reply.headers
    assert json.loads(headers["x-lorapool-adapters"]) == [{"key": "default/pixel", "sha256": SHA, "scale": 0.5}]
    assert (headers["x-lorapool-pod"], headers["x-lorapool-pool"]) == (pod.name, "default/shapes")
    assert (headers["x-lorapool-seed"], headers["x-compute-characters"]) == ("5", "5")
    assert (headers["x-compute-time"], headers["x-compute-type"]) == ("1.600", "cpu")
    assert "inference;dur=1500.0" in headers["server-timing"]
    assert "x-compute-time" in headers["access-control-expose-headers"]
    assert json.loads(headers["x-lorapool-warnings"]) == ["'clip_skip' has no effect here"]


@pytest.mark.parametrize(
    ("path", "header", "parameters", "expected"),
    [
        ("/", "pixel:0.8, ink:0.5", {}, [("pixel", 0.8), ("ink", 0.5)]),
        ("/", None, {"lora": "pixel"}, [("pixel", None)]),
        ("/", None, {"loras": [{"path": "nerijs/pixel-art-xl", "scale": 0.3}, "ink"]}, [("pixel", 0.3), ("ink", None)]),
        ("/", "pixel", {"loras": [{"name": "ink"}]}, [("ink", None)]),
        ("/", "pixel", {"loras": []}, []),
        ("/", "", {}, []),
        ("/models/nerijs/pixel-art-xl", None, {}, [("pixel", None)]),
        ("/hf-inference/models/default/ink", "pixel", {}, [("ink", None), ("pixel", None)]),
        ("/models/shapes", "ink", {}, [("ink", None)]),
    ],
)
async def test_adapters_are_named_by_path_header_and_body(
    world: World, pod: FakePod, path: str, header: str | None, parameters: object, expected: list[tuple[str, float]]
) -> None:
    async with world.client() as client:
        headers = {} if header is None else {"lora": header}
        reply = await client.post(path, json={"inputs": "a cat", "parameters": parameters}, headers=headers)
    assert reply.status_code == 200, reply.text
    assert [(use.key.removeprefix("default/"), use.scale) for use in pod.received[0].adapters] == expected


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "prompt is empty"),
        (b"  \n", "prompt is empty"),
        (b'{"inputs": "  "}', "prompt is empty"),
        (b'{"inputs": ', "not valid JSON"),
        (b"{}", "inputs must be the prompt"),
        (b'{"inputs": ["a"]}', "inputs must be the prompt"),
        (b"\xff\xfe\x00", "neither JSON nor text"),
        (b'{"inputs": "a \\ud800"}', "not valid JSON"),
        (b'{"inputs":' * 5000, "not valid JSON"),
        (b'{"inputs": "a", "parameters": []}', "parameters"),
        (b'{"inputs": "a", "parameters": {"width": "wide"}}', "parameters.width"),
        (b'{"inputs": "a", "parameters": {"width": 100}}', "multiple of 8"),
        (b'{"inputs": "a", "parameters": {"width": 8192, "height": 8192}}', "at most 2359296"),
        (b'{"inputs": "a", "parameters": {"scheduler": "magic"}}', "no scheduler is called 'magic'"),
        (b'{"inputs": "a", "parameters": {"guidance_scale": NaN}}', "not valid JSON"),
        (b'{"inputs": "a", "parameters": {"guidance_scale": -1}}', "guidance_scale"),
        (b'{"inputs": "a", "parameters": {"num_inference_steps": 0}}', "steps 0 is not between 1 and 100"),
        (b'{"inputs": "a", "parameters": {"seed": -2}}', "seed"),
        (b'{"inputs": "a", "parameters": {"seed": 9999999999999999999999}}', "seed"),
        (b'{"inputs": "a", "parameters": {"lora": "pixel:strong"}}', "scale of an adapter"),
        (b'{"inputs": "a", "parameters": {"lora": "pixel:nan"}}', "scale of an adapter"),
        (b'{"inputs": "a", "parameters": {"loras": [{"name": "pixel", "scale": 99}]}}', "scale of an adapter"),
        (b'{"inputs": "a", "parameters": {"loras": [{"scale": 1}]}}', "exactly one of name and path"),
        (b'{"inputs": "a", "parameters": {"loras": {"pixel": 1}}}', "loras must be a list"),
        (b'{"inputs": "a", "parameters": {"loras": ["pixel"], "lora": "ink"}}', "use one"),
        (b'{"inputs": "' + b"a " * 5500 + b'"}', "at most 10000 characters"),
    ],
)
async def test_bad_input_gets_a_400_with_one_sentence(world: World, pod: FakePod, body: bytes, words: str) -> None:
    async with world.client() as client:
        reply = await client.post("/", content=body)
    assert reply.status_code == 400, reply.text
    assert words in reply.json()["error"]
    assert len(reply.json()["error"]) < 300
    assert not pod.received


async def test_broken_json_that_is_called_json_is_refused(world: World) -> None:
    async with world.client() as client:
        reply = await client.post("/", content="a cat", headers={"content-type": "application/json"})
    assert reply.status_code == 400


async def test_a_prompt_in_braces_is_a_prompt_when_it_is_called_text(world: World, pod: FakePod) -> None:
    async with world.client() as client:
        reply = await client.post("/", content="{a cat}", headers={"content-type": "text/plain"})
    assert reply.status_code == 200
    assert pod.received[0].prompt == "{a cat}"


async def test_a_huge_body_is_refused_without_being_kept(world: World) -> None:
    async with world.client() as client:
        reply = await client.post("/", content=b"a" * (1 << 20))
    assert reply.status_code == 413
    assert "65536 bytes" in reply.json()["error"]


async def test_an_unknown_adapter_is_a_404_with_near_misses(world: World, pod: FakePod) -> None:
    async with world.client(lora="pixle") as client:
        reply = await client.post("/", content="a cat")
    assert reply.status_code == 404
    assert "'pixel'" in reply.json()["error"]


async def test_an_adapter_that_failed_is_a_422_and_one_on_its_way_a_503(world: World) -> None:
    world.adapter("bad", ready={"status": "False", "reason": "NotALora", "message": "no tensor of it is low-rank"})
    slow = World(adapter_hold_s=0.01)
    slow.pool()
    slow.adapter("slow", ready={"status": "False", "reason": "Loading", "message": "reading"})
    async with world.client() as client, slow.client() as other:
        bad = await client.post("/models/bad", content="a cat")
        late = await other.post("/models/slow", content="a cat")
    assert (bad.status_code, late.status_code) == (422, 503)
    assert "NotALora" in bad.json()["error"]
    assert "no tensor of it is low-rank" in bad.json()["error"]
    assert late.headers["retry-after"] == "2"
    assert late.json()["estimated_time"] > 0


async def test_the_base_is_picked_by_header_where_there_are_two_pools(world: World) -> None:
    world.pool("other")
    other = world.pod("pod-b", pool="default/other")
    async with world.client() as client:
        unsure = await client.post("/", content="a cat")
        sure = await client.post("/", content="a cat", headers={"x-lorapool-pool": "other"})
    assert unsure.status_code == 400
    assert "default/other, default/shapes" in unsure.json()["error"]
    assert sure.headers["x-lorapool-pod"] == other.name


async def test_pages_of_other_origins_may_call_and_read_the_headers(world: World, pod: FakePod) -> None:
    async with world.client(origin="https://app.example.org") as client:
        asked = {"access-control-request-method": "POST", "access-control-request-headers": "lora"}
        preflight = await client.options("/", headers=asked)
        reply = await client.post("/", content="a cat")
    assert preflight.status_code == 200
    assert reply.headers["access-control-allow-origin"] == "*"
    assert "x-lorapool-pod" in reply.headers["access-control-expose-headers"]


async def test_a_gateway_that_has_read_nothing_yet_says_503() -> None:
    world = World(sync_s=0.01)
    world.synced.clear()
    async with world.client() as client:
        reply = await client.post("/models/pixel", content="a cat")
    assert reply.status_code == 503


async def test_requests_that_are_held_do_not_hold_up_others(world: World) -> None:
    world.pool("empty")
    world.pod()
    async with world.client() as client:
        held = asyncio.create_task(client.post("/models/empty", content="a cat"))
        waits = b'waiting_requests{pool="default/empty"} 1.0'
        await until(lambda: waits in world.metrics.text(), "it is held")
        assert (await client.post("/models/pixel", content="a cat")).status_code == 200
        held.cancel()
