"""The routes that read pictures: their forms, their bounds, and what they say of texts."""

import asyncio
import base64
import json
from io import BytesIO
from pathlib import Path

import c2pa
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from tests.unit.gateway.fakes import World, encoded_image
from tests.unit.gateway.provenance.installation import Installation, claim

from lorapool_api.rules.recipes.infotext import PictureRecipe, RecipeAdapter, infotext
from lorapool_api.wire.request import ImageFormat
from lorapool_gateway.errors import Busy
from lorapool_gateway.http.sdapi.pictures import parsed_infotext
from lorapool_gateway.provenance.manifest import manifest_of
from lorapool_gateway.provenance.report import PictureReport

PICTURE = encoded_image(3, ImageFormat.PNG)
RECIPE = infotext(
    PictureRecipe(
        prompt='a "cat",\nSteps: 3',
        negative_prompt="a: b, c",
        seed=5,
        width=64,
        height=32,
        base='o/b: "x"',
        revision="r",
        steps=7,
        sampler="Euler a",
        adapters=[RecipeAdapter("ns/ink", "ab" * 32, 0.5), RecipeAdapter("ns/px", "cd" * 32, 1.0)],
    )
)


def with_text(text: str, format_: str = "png", **more: str) -> bytes:
    buffer, info, exif = BytesIO(), PngInfo(), Image.Exif()
    for name, value in {"parameters": text, **more}.items():
        info.add_text(name, value, zip=True)
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + text.encode("utf-16-be")
    Image.new("RGB", (8, 8)).save(buffer, format_, pnginfo=info, exif=exif)
    return buffer.getvalue()


async def test_verify_takes_the_file_or_a_form_with_it(ours: Installation) -> None:
    signed = await ours.signed(PICTURE)
    async with ours.world().client() as client:
        whole = await client.post("/v1/verify", content=signed)
        form = await client.post("/v1/verify", files={"image": ("x.png", signed)})
        assert whole.json() == form.json()
        assert whole.json()["ours"]
        for files in ({"picture": ("x.png", signed)}, [("image", ("x.png", signed))] * 2):
            assert (await client.post("/v1/verify", files=files)).status_code == 400
        assert (await client.post("/v1/verify")).status_code == 400
        assert (await client.get("/v1/verify")).status_code == 405
        large = await client.post("/v1/verify", content=bytes(2 << 20))
        assert (large.status_code, large.json()["error"]["code"]) == (413, "body_too_large")


async def test_who_asks_needs_a_key_where_there_are_keys(ours: Installation, tmp_path: Path) -> None:
    (tmp_path / "alice").write_text("secret")
    asked = World(keys=tmp_path, reader=ours.reader)
    async with asked.client() as client:
        assert (await client.post("/v1/verify", content=PICTURE)).status_code == 401
        assert (await client.post("/sdapi/v1/png-info", json={"image": ""})).status_code == 401
        known = await client.post("/v1/verify", content=PICTURE, headers={"x-api-key": "secret"})
        assert (known.status_code, known.json()["signed"]) == (200, False)


@pytest.mark.parametrize("format_", ["png", "jpeg", "webp"])
async def test_png_info_reads_what_a_file_says(ours: Installation, format_: str) -> None:
    image = base64.b64encode(with_text(RECIPE, format_)).decode()
    async with ours.world().client() as client:
        said = (await client.post("/sdapi/v1/png-info", json={"image": f"data:image/{format_};base64,{image}"})).json()
    assert (said["info"], said["items"]["parameters"]) == (RECIPE, RECIPE)
    assert said["parameters"]["Prompt"] == 'a "cat",\nSteps: 3 <lora:ns/ink:0.5> <lora:ns/px:1>'


async def test_texts_that_swell_and_files_that_are_none_end_at_their_bounds(ours: Installation) -> None:
    swollen = with_text("a" * (900 << 10), comment="b" * 1000)
    async with ours.world().client() as client:
        said = (await client.post("/sdapi/v1/png-info", json={"image": base64.b64encode(swollen).decode()})).json()
        assert (len(said["info"]), len(said["items"]["comment"])) == (64_000, 200)
        for image in (
            "",
            "x",
            base64.b64encode(b"GIF89a" + bytes(64)).decode(),
            base64.b64encode(PICTURE[:30]).decode(),
        ):
            refused = await client.post("/sdapi/v1/png-info", json={"image": image})
            assert refused.status_code == 400, refused.text
        none = (await client.post("/sdapi/v1/png-info", json={"image": base64.b64encode(PICTURE).decode()})).json()
        assert none == {"info": "", "items": {}, "parameters": {}}


async def test_an_address_in_a_picture_is_not_asked(ours: Installation) -> None:
    """A manifest may lie elsewhere: whoever sends the picture would choose whom the gateway calls."""
    asked: list[str] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append("somebody came")
        writer.close()

    server = await asyncio.start_server(note, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    key, target = ours.keys.current(), BytesIO()
    info = c2pa.C2paSignerInfo(b"es256", key.chain, key.key, None)
    said = json.dumps(manifest_of(claim()))
    with c2pa.Signer.from_info(info) as signer, c2pa.Builder(said) as builder:
        builder.set_no_embed()
        builder.set_remote_url(f"http://127.0.0.1:{port}/manifest.c2pa")
        builder.sign(signer, "image/png", BytesIO(PICTURE), target)
    assert f"127.0.0.1:{port}".encode() in target.getvalue()
    report = await ours.report(target.getvalue())
    server.close()
    await server.wait_closed()
    assert (report.valid, report.ours, report.made_with, asked) == (False, False, None, [])


async def test_only_so_many_pictures_wait_to_be_read(ours: Installation) -> None:
    held = asyncio.Event()

    async def slow() -> bytes:
        await held.wait()
        return PICTURE

    many = asyncio.gather(*(ours.reader.report(slow) for _ in range(17)), return_exceptions=True)
    asyncio.get_running_loop().call_soon(held.set)
    *read, last = await many
    assert isinstance(last, Busy)
    assert [isinstance(report, PictureReport) for report in read] == [True] * 16
    assert not (await ours.report(PICTURE)).signed


def test_a_recipe_is_parsed_as_it_was_put_together() -> None:
    assert parsed_infotext(RECIPE) == {
        "Prompt": 'a "cat",\nSteps: 3 <lora:ns/ink:0.5> <lora:ns/px:1>',
        "Negative prompt": "a: b, c",
        "Steps": "7",
        "Sampler": "Euler a",
        "Seed": "5",
        "Size": "64x32",
        "Model": 'o/b: "x"',
        "Model revision": "r",
        "Lora hashes": "ns/ink: ababababab, ns/px: cdcdcdcdcd",
        "Version": "lorapool",
    }


@pytest.mark.parametrize(
    "text", ["a cat", "Negative prompt: a dog", "", ":" * 5000, '"' * 5000, "a: " * 5000, "\n" * 5000]
)
def test_any_text_is_parsed(text: str) -> None:
    assert set(parsed_infotext(text)) >= ({"Prompt", "Negative prompt"} if text else set())
