"""The calls of sd-backend-client, which finds out by itself what a server is; what came of each is printed as JSON.

It checks each answer against formats of the WebUI, and runs without anything of this project.
"""

import importlib.metadata
import json
import sys

from PIL import Image
from sd_backend_client import AuthError, DiffusionParams, connect_to_backend

url, key = sys.argv[1:]
seen = {"version": importlib.metadata.version("sd-backend-client")}
backend = connect_to_backend(url, credentials_provider=lambda *_: ("anybody", key))
seen["kind"] = type(backend).__name__


def shown(handle):
    return [[list(image.size), list(image.convert("RGB").getpixel((0, 0)))] for image in handle.wait(timeout=60).images]


usual = {"negative_prompt": "a dog", "steps": 5, "width": 64, "height": 64, "seed": 4}
handle = backend.submit_txt2img(DiffusionParams(prompt="a cat <lora:pixel:0.5>", batch_size=2, **usual))
seen["text"] = shown(handle)
result = handle.wait(timeout=60)
seen["seeds"], seen["prompts"] = result.seeds, result.raw_info.all_prompts
seen["infotext"] = result.raw_info.infotexts[0]
reds, greens = Image.new("RGB", (64, 64), (255, 0, 0)), Image.new("L", (64, 64), 255)
over = DiffusionParams(prompt="a hat", init_images=[reds], denoising_strength=0.5, **usual)
seen["image"] = shown(backend.submit_img2img(over))
within = DiffusionParams(prompt="a hat", init_images=[reds], mask=greens, denoising_strength=0.5, **usual)
seen["mask"] = shown(backend.submit_inpaint(within))
seen["karras"] = shown(
    backend.submit_txt2img(DiffusionParams(prompt="a", sampler="dpmpp_2m", scheduler="karras", **usual))
)

lists = ("checkpoints", "loras", "samplers", "schedulers", "upscalers", "vaes", "hypernetworks", "controlnet_models")
seen["lists"] = {name: [option.name for option in getattr(backend, f"list_{name}")()] for name in lists}
capabilities = backend.get_capabilities()
seen["capabilities"] = [bool(capabilities.controlnet), bool(capabilities.soft_inpainting)]
seen["progress"] = backend.progress_check().progress
for done in (backend.refresh_checkpoints, backend.refresh_loras, backend.refresh_vae, backend.interrupt):
    done()
try:
    connect_to_backend(url, credentials_provider=lambda *_: ("anybody", "another")).get_loras()
except AuthError as error:
    seen["other_key"] = str(error)
try:
    backend.submit_txt2img(DiffusionParams(prompt="a <lora:pixell:1>", **usual)).wait(timeout=60)
except Exception as error:  # noqa: BLE001 -- what people read is the text
    seen["unknown"] = str(error)
print(json.dumps(seen))
