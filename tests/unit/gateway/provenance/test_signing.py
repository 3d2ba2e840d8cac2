"""Pictures that leave a gateway: signed where pool or request want it, in each dialect, or not at all."""

import base64
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.unit.gateway.fakes import World, encoded_image
from tests.unit.gateway.provenance import certificates
from tests.unit.gateway.provenance.installation import SHA, Installation

from lorapool_api.kinds.serving import Serving
from lorapool_api.wire.request import GenerateRequest, ImageFormat
from lorapool_gateway.provenance.failed import PictureNotSigned
from lorapool_gateway.routing.request import ResolvedRequest
from lorapool_gateway.serve.signing import PictureSigning

SIGN = {"provenance": {"contentCredentials": "Sign"}}
ASKED = {"prompt": "a cat", "model": "ink", "seed": 5}


async def post(world: World, path: str, **body: Any) -> httpx.Response:
    async with world.client() as client:
        return await client.post(path, json=body)


async def verified(world: World, picture: bytes) -> dict[str, Any]:
    async with world.client() as client:
        reply = await client.post("/v1/verify", content=picture, headers={"content-type": "image/png"})
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


async def test_every_dialect_gives_pictures_that_are_ours(ours: Installation) -> None:
    world = ours.world(**SIGN)
    both = (await post(world, "/v1/images/generations", **ASKED, n=2)).json()["data"]
    url = (await post(world, "/v1/images/generations", **ASKED, response_format="url")).json()["data"][0]["url"]
    async with world.client(accept="image/webp") as client:
        kept = await client.get(url)
        raw = await client.post("/models/ink", json={"inputs": "a cat", "parameters": {"seed": 5}})
    webui = (await post(world, "/sdapi/v1/txt2img", prompt="a cat", seed=5)).json()["images"][0]
    async with world.client() as client:
        stream = await client.post("/v1/images/generations", json=ASKED | {"stream": True, "partial_images": 2})
    events = [json.loads(line.removeprefix("data: ")) for line in stream.text.splitlines() if line.startswith("data: ")]
    assert [event["type"] for event in events] == ["image_generation.completed"]  # nobody sees one that is not signed

    assert raw.headers["content-type"] == "image/webp"
    given = [base64.b64decode(row["b64_json"]) for row in (*both, *events)]
    seeds = {5: [given[0], given[2], kept.content, raw.content, base64.b64decode(webui)], 6: [given[1]]}
    for seed, pictures in seeds.items():
        for picture in pictures:
            report = await verified(world, picture)
            assert (report["ours"], report["made_with"]["seed"]) == (True, seed)
            assert report["made_with"]["base"] == {"name": "shapes-xl", "revision": "r1"}
            assert report["made_with"]["prompt"] is None
    used = (await verified(world, given[0]))["made_with"]["adapters"]
    assert used == [{"name": "default/ink", "sha256": "ab" * 32, "scale": 1.0}]
    assert SHA not in json.dumps(used)


async def test_a_request_may_ask_for_it_and_else_nothing_is_signed(ours: Installation) -> None:
    world = ours.world()
    plain = await post(world, "/v1/images/generations", **ASKED)
    assert base64.b64decode(plain.json()["data"][0]["b64_json"]) == encoded_image(5, ImageFormat.PNG)
    asked = await post(world, "/v1/images/generations", **ASKED, content_credentials=True, metadata=True)
    report = await verified(world, base64.b64decode(asked.json()["data"][0]["b64_json"]))
    assert (report["ours"], report["made_with"]["prompt"]) == (True, "a cat")


async def test_a_large_picture_is_not_passed_on_before_it_is_signed(ours: Installation) -> None:
    signing = PictureSigning(ours.signer)
    asked = ResolvedRequest("default/shapes", GenerateRequest(prompt="a cat", previews=3), passes_on=True)
    ready = signing.checked(asked, Serving.model_validate(SIGN))
    assert (ready.passes_on, ready.generate.previews) == (False, 0)
    plain = signing.checked(asked, Serving())
    assert (plain.passes_on, plain.generate.previews) == (True, 3)
    world = ours.world()
    reply = await next(iter(world.network.pods.values())).generate(asked.generate)
    with pytest.raises(PictureNotSigned):
        await signing.signed(ready, Serving(), reply, ())


async def test_what_cannot_be_signed_is_refused_before_anything_is_made(ours: Installation) -> None:
    world = ours.world(**SIGN)
    (pod,) = world.network.pods.values()
    out = await post(world, "/v1/images/generations", **ASKED, content_credentials=False)
    assert (out.status_code, out.json()["error"]["param"]) == (400, "content_credentials")
    async with world.client(accept="image/bmp") as client:
        bitmap = await client.post("/models/ink", json={"inputs": "a cat"})
    assert (bitmap.status_code, "cannot be signed" in bitmap.json()["error"]) == (400, True)
    refusing = ours.world(provenance={"recipe": "Refuse"})
    recipe = await post(refusing, "/v1/images/generations", **ASKED, metadata=True)
    assert (recipe.status_code, recipe.json()["error"]["param"]) == (400, "metadata")
    keyless = World()
    keyless.pool(serving=SIGN)
    keyless.pod()
    missing = await post(keyless, "/v1/images/generations", prompt="a cat")
    assert (missing.status_code, missing.json()["error"]["code"]) == (503, "not_signed")
    assert missing.headers["x-should-retry"] == "false"
    keyless.pool(serving={})
    asked = await post(keyless, "/v1/images/generations", prompt="a cat", content_credentials=True)
    assert (asked.status_code, asked.json()["error"]["param"]) == (400, "content_credentials")
    assert not pod.received
    assert not [asked for fake in keyless.network.pods.values() for asked in fake.received]


async def test_a_picture_that_cannot_be_signed_does_not_leave(root: certificates.Pair, tmp_path: Path) -> None:
    ended = certificates.issued(root, begins=timedelta(days=-9), ends=timedelta(days=-1))
    with Installation.of(tmp_path, ended, root) as late:
        world = late.world(**SIGN)
        reply = await post(world, "/v1/images/generations", **ASKED)
        assert (reply.status_code, reply.json()["error"]["code"]) == (503, "not_signed")
        assert base64.b64encode(encoded_image(5, ImageFormat.PNG)).decode() not in reply.text
        await late.signer.try_out()  # says so in the log, and does not end the gateway


@pytest.mark.parametrize("said", [{"metadata": False}, {"override_settings": {"enable_pnginfo": False}}])
async def test_the_webuis_option_is_ours(ours: Installation, said: dict[str, Any]) -> None:
    world = ours.world()
    (pod,) = world.network.pods.values()
    assert (await post(world, "/sdapi/v1/txt2img", prompt="a cat", **said)).status_code == 200
    assert (await post(world, "/sdapi/v1/txt2img", prompt="a cat")).status_code == 200
    assert [asked.metadata for asked in pod.received] == [False, None]
