"""The calls of webuiapi, a client of A1111's WebUI; what came of each is printed as one line of JSON.

It runs without anything of this project.
"""

import contextlib
import importlib.metadata
import inspect
import io
import json
import sys

import webuiapi
from PIL import Image

url, key = sys.argv[1:]
seen = {"version": importlib.metadata.version("webuiapi")}
api = webuiapi.WebUIApi(baseurl=f"{url}/sdapi/v1", sampler="Euler a", steps=5)
api.set_auth("anybody", key)


def shown(result):
    return [[image.format, list(image.size), list(image.getpixel((0, 0)))] for image in result.images]


def failure(call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except RuntimeError as error:
        return {"status": error.args[0], **json.loads(error.args[1])}


reds, greens = (Image.new("RGB", (8, 8), colour) for colour in ((255, 0, 0), (0, 255, 0)))
seen["sent"] = [webuiapi.webuiapi.raw_b64_img(image) for image in (reds, greens)]

made = api.txt2img(prompt="a cat <lora:pixel:0.5>", negative_prompt="a dog", seed=4, width=64, height=64, cfg_scale=3.5)
seen["text"] = shown(made)
seen["info"] = [made.info["seed"], made.info["all_seeds"], made.info["width"], made.parameters["steps"]]
# The first versions have one menu for sampler and schedule.
has_two_menus = "scheduler" in inspect.signature(api.txt2img).parameters
karras = {"sampler_name": "DPM++ 2M", "scheduler": "karras"} if has_two_menus else {"sampler_name": "DPM++ 2M Karras"}
made = api.txt2img(prompt="a cat", seed=4, batch_size=2, n_iter=2, **karras)
seen["several"] = len(made.images)
larger = {"enable_hr": True, "hr_scale": 2, "hr_upscaler": webuiapi.HiResUpscaler.Latent, "denoising_strength": 0.6}
seen["larger"] = len(api.txt2img(prompt="a cat", width=64, height=64, **larger).images)
chosen = {"sd_model_checkpoint": "shapes"}
seen["chosen"] = len(api.txt2img(prompt="a cat", override_settings=chosen).images)
seen["image"] = shown(api.img2img(images=[reds], prompt="a hat", seed=4, denoising_strength=0.5, width=64, height=64))
seen["mask"] = len(api.img2img(images=[reds], mask_image=greens, prompt="a hat", width=64, height=64).images)

greens.info["parameters"] = "a cat\nSteps: 5, Sampler: Euler a, Seed: 4"
said = api.png_info(greens)
seen["png_info"] = [said.info, said.parameters.get("Prompt"), said.parameters.get("Seed")]

seen["models"] = api.util_get_model_names()
seen["samplers"] = [sampler["name"] for sampler in api.get_samplers()]
seen["loras"] = [lora["name"] for lora in api.get_loras()]
seen["current"] = api.util_get_current_model()
with contextlib.redirect_stdout(io.StringIO()):
    api.util_set_model("shapes")
    api.util_wait_for_ready()
menus = ("options", "cmd_flags", "sd_vae", "upscalers", "latent_upscale_modes", "hypernetworks", "face_restorers")
more = ("realesrgan_models", "prompt_styles", "scripts", "embeddings", "schedulers")
# The first versions have no call for the newer menus.
names = [name for name in (*menus, *more) if hasattr(api, f"get_{name}")]
seen["menus"] = {name: type(getattr(api, f"get_{name}")()).__name__ for name in names}
seen["progress"] = api.get_progress()["progress"]
api.refresh_checkpoints()
api.interrupt()
api.skip()

seen["unknown"] = failure(api.txt2img, prompt="a cat <lora:pixell:1>")
seen["sampler"] = failure(api.txt2img, prompt="a cat", sampler_name="no such")
seen["script"] = failure(api.txt2img, prompt="a cat", script_name="X/Y/Z plot")
seen["broken"] = failure(api.txt2img, prompt="a cat <lora:broken:1>")
other = webuiapi.WebUIApi(baseurl=f"{url}/sdapi/v1")
seen["other_key"] = failure(other.txt2img, prompt="a cat")
print(json.dumps(seen))
