"""The shape of A1111's WebUI."""

import base64
import json
from typing import Any

import pytest
from tests.unit.gateway.fakes import FakePod, World, encoded_image

from lorapool_api.kinds.serving import PromptSyntax, SchedulerName
from lorapool_api.wire.request import HiresPass, ImageFormat, Upscaler

PICTURE = base64.b64encode(encoded_image(3, ImageFormat.PNG)).decode()


async def post(world: World, path: str, **body: Any) -> Any:
    async with world.client() as client:
        return await client.post(f"/sdapi/v1/{path}", json=body)


async def get(world: World, path: str) -> Any:
    async with world.client() as client:
        return (await client.get(f"/sdapi/v1/{path}")).json()


async def test_infotexts_are_those_of_the_files_where_these_have_some(world: World, pod: FakePod) -> None:
    pod.recipe = "a cat\nSteps: 30"
    info = json.loads((await post(world, "txt2img", prompt="a cat", metadata=True)).json()["info"])
    assert info["infotexts"] == ["a cat\nSteps: 30"]
    assert pod.received[0].metadata is True


async def test_txt2img_makes_a_batch_of_batches(world: World, pod: FakePod) -> None:
    said = {"steps": 7, "cfg_scale": 4.5, "width": 64, "height": 128, "seed": 9, "sampler_name": "Euler a"}
    reply = await post(world, "txt2img", prompt="a (cat:1.2)", negative_prompt="dog", n_iter=2, batch_size=1, **said)
    assert reply.status_code == 200, reply.text
    body = reply.json()
    assert base64.b64decode(body["images"][1]) == encoded_image(10, ImageFormat.PNG)
    assert body["parameters"]["steps"] == 7
    info = json.loads(body["info"])
    assert (info["all_seeds"], info["width"], info["height"], info["sampler_name"]) == ([9, 10], 64, 128, "Euler a")
    got = pod.received[0]
    assert (got.prompt, got.negative_prompt, got.images) == ("a (cat:1.2)", "dog", 2)
    assert (got.steps, got.guidance_scale, got.scheduler) == (7, 4.5, SchedulerName.EULER_A)
    assert got.prompt_syntax is PromptSyntax.A1111


async def test_a_prompt_names_adapters_whatever_the_pool_says_of_other_clients(world: World, pod: FakePod) -> None:
    reply = await post(world, "txt2img", prompt="a cat <lora:pixel:0.8> <lora:ink:0.4>")
    assert reply.status_code == 200, reply.text
    assert pod.received[0].prompt.split() == ["a", "cat"]
    assert [(use.key, use.scale) for use in pod.received[0].adapters] == [("default/pixel", 0.8), ("default/ink", 0.4)]
    info = json.loads(reply.json()["info"])
    assert set(info["lora_hashes"]) == {"default/pixel", "default/ink"}
    assert info["prompt"] == "a cat <lora:pixel:0.8> <lora:ink:0.4>"
    assert "Steps" not in info["infotexts"][0]  # what the pool's default is only the pod knows


async def test_info_has_all_that_the_webui_says_there_and_the_text_of_its_files(world: World, pod: FakePod) -> None:
    said = {"steps": 7, "cfg_scale": 4.5, "seed": 9, "sampler_name": "Euler a", "negative_prompt": "dog"}
    info = json.loads((await post(world, "txt2img", prompt="a cat", **said)).json()["info"])
    webui = (
        *("prompt", "all_prompts", "negative_prompt", "all_negative_prompts", "seed", "all_seeds", "subseed"),
        *("all_subseeds", "subseed_strength", "width", "height", "sampler_name", "cfg_scale", "steps", "batch_size"),
        *("restore_faces", "face_restoration_model", "sd_model_name", "sd_model_hash", "sd_vae_name", "sd_vae_hash"),
        *("seed_resize_from_w", "seed_resize_from_h", "denoising_strength", "extra_generation_params"),
        *("index_of_first_image", "infotexts", "styles", "job_timestamp", "clip_skip", "version"),
        "is_using_inpainting_conditioning",
    )
    assert set(webui) - info.keys() == set()
    assert len(info["job_timestamp"]) == 14
    settings = "Steps: 7, Sampler: Euler a, CFG scale: 4.5, Seed: 9, Size: 64x64, Model: shapes-xl"
    assert info["infotexts"] == [f"a cat\nNegative prompt: dog\n{settings}, Model revision: r1, Version: lorapool"]


async def test_img2img_begins_with_the_picture_and_its_mask(world: World, pod: FakePod) -> None:
    sent = {"init_images": [f"data:image/png;base64,{PICTURE}"], "mask": PICTURE, "seed": 4}
    reply = await post(world, "img2img", prompt="a cat", **sent)
    assert reply.status_code == 200, reply.text
    got = pod.received[0]
    assert (got.image, got.mask, got.strength) == (PICTURE, PICTURE, 0.75)
    assert reply.json()["parameters"]["init_images"] is None
    await post(world, "img2img", prompt="a cat", init_images=[PICTURE], denoising_strength=0.3)
    assert (pod.received[1].mask, pod.received[1].strength) == (None, 0.3)


@pytest.mark.parametrize(
    ("said", "hires"),
    [
        ({}, HiresPass(upscaler=Upscaler.LATENT)),
        ({"hr_scale": 1.5, "hr_upscaler": "Lanczos"}, HiresPass(scale=1.5)),
        (
            {"hr_resize_x": 192, "hr_resize_y": 96, "hr_second_pass_steps": 3, "denoising_strength": 0.25},
            HiresPass(scale=3, steps=3, strength=0.25, upscaler=Upscaler.LATENT),
        ),
    ],
)
async def test_a_second_pass(world: World, pod: FakePod, said: dict[str, Any], hires: HiresPass) -> None:
    reply = await post(world, "txt2img", prompt="a", width=64, height=32, enable_hr=True, **said)
    assert reply.status_code == 200, reply.text
    assert pod.received[0].hires == hires


@pytest.mark.parametrize(
    ("sampler", "schedule", "name", "spacing"),
    [
        ("DPM++ 2M", None, "dpmpp-2m-karras", None),
        ("DPM++ 2M", "Karras", "dpmpp-2m-karras", None),
        ("DPM++ 2M Karras", "Automatic", "dpmpp-2m-karras", None),
        ("DPM++ 2M", "normal", "dpmpp-2m", None),
        ("Euler", "SGM Uniform", "euler", "trailing"),
        (None, "Automatic", None, None),
    ],
)
async def test_samplers_by_both_menus(
    world: World, pod: FakePod, sampler: str | None, schedule: str | None, name: str | None, spacing: str | None
) -> None:
    reply = await post(world, "txt2img", prompt="a", sampler_name=sampler, scheduler=schedule)
    assert reply.status_code == 200, reply.text
    assert (pod.received[0].scheduler, pod.received[0].timestep_spacing) == (name, spacing)


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("txt2img", {"prompt": ""}, "prompt"),
        ("txt2img", {"prompt": "a", "steps": "many"}, "steps"),
        ("txt2img", {"prompt": "a", "n_iter": 99}, "images"),
        ("txt2img", {"prompt": "a", "script_name": "X/Y/Z plot"}, "script_name"),
        ("txt2img", {"prompt": "a", "alwayson_scripts": {"ADetailer": {}}}, "alwayson_scripts"),
        ("txt2img", {"prompt": "a", "restore_faces": True}, "restore_faces"),
        ("txt2img", {"prompt": "a", "sampler_name": "magic"}, "DPM++ 2M Karras"),
        ("txt2img", {"prompt": "a", "sampler_name": "Euler", "scheduler": "Karras"}, "Karras"),
        ("txt2img", {"prompt": "a", "scheduler": "Beta"}, "schedule"),
        ("txt2img", {"prompt": "a", "enable_hr": True, "hr_upscaler": "ESRGAN"}, "upscaler"),
        ("txt2img", {"prompt": "a", "enable_hr": True, "hr_scale": 99}, "scale"),
        ("txt2img", {"prompt": "a", "enable_hr": True, "hr_resize_x": 100, "width": 64, "height": 64}, "hr_resize_x"),
        ("img2img", {"prompt": "a"}, "init_images"),
        ("img2img", {"prompt": "a", "init_images": [PICTURE, PICTURE]}, "init_images"),
        ("img2img", {"prompt": "a", "init_images": ["no picture"]}, "init_images"),
        ("img2img", {"prompt": "a", "init_images": [PICTURE], "inpainting_mask_invert": 1}, "inpainting_mask_invert"),
        ("img2img", {"prompt": "a", "init_images": [PICTURE], "resize_mode": 1}, "resize_mode"),
    ],
)
async def test_what_cannot_be_done_is_refused_by_name(
    world: World, pod: FakePod, path: str, body: dict[str, Any], named: str
) -> None:
    reply = await post(world, path, **body)
    assert reply.status_code == 400
    said = reply.json()
    assert named in said["detail"]
    assert said["errors"] == said["detail"]
    assert not pod.received


async def test_what_most_clients_say_and_means_nothing_here_is_no_matter(world: World, pod: FakePod) -> None:
    said = {"script_args": [], "alwayson_scripts": {}, "s_churn": 0, "styles": [], "save_images": False, "eta": None}
    reply = await post(world, "txt2img", prompt="a", **said, colour="red")
    assert reply.status_code == 200, reply.text
    assert json.loads(reply.headers["x-lorapool-warnings"]) == ["'colour' has no effect here"]


async def test_an_adapter_that_is_not_there_is_never_the_bare_base(world: World, pod: FakePod) -> None:
    reply = await post(world, "txt2img", prompt="a <lora:pixell:1>")
    assert reply.status_code == 404
    assert "'pixel'" in reply.json()["detail"]
    assert not pod.received


async def test_menus_show_what_there_is(world: World) -> None:
    loras = await get(world, "loras")
    assert [row["name"] for row in loras] == ["ink", "pixel"]
    assert loras[1]["metadata"]["sha256"]
    (base,) = await get(world, "sd-models")
    assert base["model_name"] == base["title"] == "shapes"
    samplers = {row["name"]: row["aliases"] for row in await get(world, "samplers")}
    assert samplers["Euler a"] == ["euler-a"]
    assert len(samplers) == len(SchedulerName)
    assert (await get(world, "options"))["sd_model_checkpoint"] == "shapes"
    assert await get(world, "embeddings") == {"loaded": {}, "skipped": {}}
    assert {row["label"] for row in await get(world, "schedulers")} >= {"Automatic", "Karras"}


async def test_every_sampler_of_the_menu_can_be_asked_for(world: World, pod: FakePod) -> None:
    for row in await get(world, "samplers"):
        reply = await post(world, "txt2img", prompt="a", sampler_name=row["name"], scheduler="Normal")
        assert reply.status_code == 200, reply.text
    assert {got.scheduler for got in pod.received} == set(SchedulerName)


async def test_the_checkpoint_of_a_request_is_the_base_that_is_used(world: World) -> None:
    world.pool("photos")
    photos = world.pod("pod-b", pool="default/photos")
    world.pod()
    settings = {"sd_model_checkpoint": "photos [0123456789]"}
    reply = await post(world, "txt2img", prompt="a cat", override_settings=settings)
    assert reply.status_code == 200, reply.text
    assert len(photos.received) == 1


async def test_options_of_all_clients_are_not_set_by_one(world: World) -> None:
    assert (await post(world, "options", sd_model_checkpoint="shapes")).status_code == 200
    assert "other" in (await post(world, "options", sd_model_checkpoint="other")).json()["detail"]
    refused = await post(world, "options", CLIP_stop_at_last_layers=2)
    assert (refused.status_code, "CLIP_stop_at_last_layers" in refused.json()["detail"]) == (400, True)
    world.pool("photos")
    several = await post(world, "options", sd_model_checkpoint="photos")
    assert several.status_code == 400
    assert "override_settings" in several.json()["detail"]


async def test_a_pool_in_the_address_is_the_pool_of_every_dialect(world: World) -> None:
    world.pool("photos")
    photos = world.pod("pod-b", pool="default/photos")
    world.pod()
    async with world.client() as client:
        for path, body in (
            ("sdapi/v1/txt2img", {"prompt": "a"}),
            ("v1/images/generations", {"prompt": "a"}),
            ("", {"inputs": "a"}),
        ):
            reply = await client.post(f"/pools/default/photos/{path}", json=body)
            assert reply.status_code == 200, reply.text
        menu = (await client.get("/pools/default/photos/sdapi/v1/sd-models")).json()
        assert [row["model_name"] for row in menu] == ["photos"]
        assert (await client.get("/pools/default/nothing/sdapi/v1/loras")).status_code == 404
    assert len(photos.received) == 3
