"""Requests of plug-ins that run in another program, as their sources send them: Krita's, ComfyUI's."""

import base64
import io
from typing import Any

import httpx
from PIL import Image
from tests.unit.gateway.fakes import FakePod, World, encoded_image

from lorapool_api.wire.request import ImageFormat, MaskReading, Upscaler

RED = encoded_image(1, ImageFormat.PNG)
PICTURE = base64.b64encode(RED).decode()
MASK = base64.b64encode(encoded_image(2, ImageFormat.PNG)).decode()

# Of cyanic-sd-krita (July 2024), in its order: what it asks for when it connects, or else it takes nobody to be there.
KRITA_ASKS = (
    *("queue/status", "sdapi/v1/sd-models", "sdapi/v1/sd-vae", "sdapi/v1/samplers", "sdapi/v1/upscalers"),
    *("sdapi/v1/face-restorers", "sdapi/v1/prompt-styles", "sdapi/v1/scripts", "sdapi/v1/loras"),
    *("sdapi/v1/embeddings", "sdapi/v1/hypernetworks", "sdapi/v1/options"),
)
# What all of its pages send: nothing is chosen in its menus but the model.
KRITA_SENDS: dict[str, Any] = {
    "negative_prompt": "a dog",
    "n_iter": 1,
    "batch_size": 1,
    "cfg_scale": 7,
    "seed": -1,
    "subseed": -1,
    "subseed_strength": 0.0,
    "steps": 20,
    "sampler_name": "",
    "override_settings": {"sd_model_checkpoint": "shapes", "sd_vae": ""},
    "override_settings_restore_afterwards": False,
}


async def krita(client: httpx.AsyncClient, path: str, **body: Any) -> list[str]:
    reply = await client.post(f"/sdapi/v1/{path}", json=KRITA_SENDS | body)
    assert reply.status_code == 200, reply.text
    assert isinstance(reply.json()["info"], str)
    images: list[str] = reply.json()["images"]
    return images


async def test_krita_fills_its_menus(world: World) -> None:
    async with world.client() as client:
        found = {path: await client.get(f"/{path}") for path in KRITA_ASKS}
    assert {path: reply.status_code for path, reply in found.items()} == dict.fromkeys(KRITA_ASKS, 200)
    said = {path.rpartition("/")[2]: reply.json() for path, reply in found.items()}
    assert [model["title"] for model in said["sd-models"]] == ["shapes"]
    assert said["options"]["sd_model_checkpoint"] == "shapes"
    assert [lora["name"] for lora in said["loras"]] == ["ink", "pixel"]
    assert [script for kind in said["scripts"].values() for script in kind] == []


async def test_krita_is_at_home_in_a_pool_of_the_address(world: World) -> None:
    async with world.client() as client:
        assert (await client.get("/pools/default/shapes/queue/status")).status_code == 200


async def test_krita_draws_paints_over_and_paints_within(world: World, pod: FakePod) -> None:
    size = {"width": 683, "height": 512}  # of a selection, which the plug-in makes larger
    within = {"mask_blur": 4, "inpainting_mask_invert": 0, "inpainting_fill": 1, "inpaint_full_res": 0}
    color = {"override_settings": KRITA_SENDS["override_settings"] | {"img2img_color_correction": True}}
    async with world.client() as client:
        drawn = await krita(client, "txt2img", prompt="a cat <lora:pixel:0.5>", enable_hr=False, **size)
        over = {"init_images": [PICTURE], "denoising_strength": 0.7}
        assert len(await krita(client, "img2img", prompt="a hat", **over, **color, **size)) == 1
        await krita(client, "img2img", prompt="a hat", **over, **within, **color, **size, mask=MASK)
    assert base64.b64decode(drawn[0]).startswith(b"\x89PNG")
    first, second, third = pod.received
    assert (first.width, first.height, first.seed, first.scheduler) == (680, 512, None, None)
    assert [(use.key, use.scale) for use in first.adapters] == [("default/pixel", 0.5)]
    assert (second.image, second.strength, second.mask) == (PICTURE, 0.7, None)
    assert (third.image, third.mask) == (PICTURE, MASK)


async def test_krita_asks_for_a_second_pass_on_large_canvases(world: World, pod: FakePod) -> None:
    second = {"hr_upscaler": "Latent", "hr_second_pass_steps": 0, "denoising_strength": 0.7}
    sizes = {"hr_resize_x": 1024, "hr_resize_y": 1024, "width": 512, "height": 512}
    async with world.client() as client:
        await krita(client, "txt2img", prompt="a cat", enable_hr=True, **second, **sizes)
    hires = pod.received[0].hires
    assert hires
    assert (hires.scale, hires.upscaler, hires.strength, hires.steps) == (2, Upscaler.LATENT, 0.7, None)


# Of comfyui-gpt-image 1.3.0: what its node sends, by requests.
NODE_SENDS: dict[str, Any] = {
    "model": "pixel",
    "prompt": "a cat",
    "quality": "low",
    "background": "opaque",
    "n": 2,
    "size": "auto",
    "moderation": "low",
}


async def test_node_of_comfyui_draws(world: World, pod: FakePod) -> None:
    async with world.client() as client:
        reply = await client.post("/v1/images/generations", json=NODE_SENDS)
    assert reply.status_code == 200, reply.text
    shown = Image.open(io.BytesIO(base64.b64decode(reply.json()["data"][0]["b64_json"])))
    assert (len(reply.json()["data"]), shown.format) == (2, "PNG")
    assert (pod.received[0].images, pod.received[0].width) == (2, None)
    assert [use.key for use in pod.received[0].adapters] == ["default/pixel"]


async def test_node_of_comfyui_edits_within_a_mask_by_its_transparency(world: World, pod: FakePod) -> None:
    """Names of files are those of its buffers; what its mask shows white is transparent in the picture of it."""
    buffer = io.BytesIO()
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(buffer, "PNG")
    files = [("image", ("image_0.png", RED)), ("mask", ("mask.png", buffer.getvalue()))]
    said = {name: str(value) for name, value in NODE_SENDS.items()}
    async with world.client() as client:
        reply = await client.post("/v1/images/edits", data=said, files=files)
        several = [("image[]", (f"image_{i}.png", RED)) for i in range(2)]
        both = await client.post("/v1/images/edits", data=said, files=several)
    assert (reply.status_code, both.status_code) == (200, 200), reply.text
    edited, looked_at = pod.received
    assert edited.mask == base64.b64encode(buffer.getvalue()).decode()
    assert edited.mask_reading is MaskReading.TRANSPARENCY
    assert [looked_at.image, *looked_at.images_beside] == [PICTURE, PICTURE]
