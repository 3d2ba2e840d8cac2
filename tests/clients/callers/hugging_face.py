"""The calls of huggingface_hub that make pictures; what came of each is printed as one line of JSON.

It runs with any version since 0.24, and without anything of this project.
"""

import asyncio
import base64
import inspect
import io
import json
import sys
import tempfile

import huggingface_hub
from huggingface_hub import AsyncInferenceClient, InferenceClient
from PIL import Image

url, key = sys.argv[1:]
seen = {"version": huggingface_hub.__version__}


def encoded(colour):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(buffer, "PNG")
    return buffer.getvalue()


def shown(image):
    return [image.format, list(image.size), list(image.getpixel((0, 0)))]


def failure(call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except Exception as error:  # noqa: BLE001 -- versions have classes of their own, the message is what people read
        response = getattr(error, "response", None)
        return {"class": type(error).__name__, "status": getattr(response, "status_code", None), "message": str(error)}


reds, greens = encoded((255, 0, 0)), encoded((0, 255, 0))
mask = base64.b64encode(greens).decode()
seen["sent"] = [base64.b64encode(reds).decode(), mask]

of_base = InferenceClient(model=url, token=key)
# Versions before 0.26 have no `extra_body`, and take further words of their own accord.
takes_extra = "extra_body" in inspect.signature(of_base.text_to_image).parameters
ours = {"extra_body": {"lora": "pixel:0.3"}} if takes_extra else {"lora": "pixel:0.3"}
usual = {"height": 64, "width": 64, "num_inference_steps": 5, "guidance_scale": 3.5, "negative_prompt": "a dog"}
seen["text"] = shown(of_base.text_to_image("a cat", **usual, seed=4, **ours))
by_header = InferenceClient(model=url, token=key, headers={"lora": "pixel:0.5, ink"})
seen["by_header"] = shown(by_header.text_to_image("a cat", seed=4))
seen["by_path"] = shown(InferenceClient(token=key).text_to_image("a cat", seed=4, model=f"{url}/models/pixel"))
# 0.28 asks the Hub which model is meant where a call names none, also of an address.
if not seen["version"].startswith("0.28"):
    seen["base_url"] = shown(InferenceClient(base_url=url, api_key=key).text_to_image("a cat", seed=4))
seen["scheduler"] = shown(of_base.text_to_image("a cat", seed=4, scheduler="DPM++ 2M Karras"))

seen["bytes"] = shown(of_base.image_to_image(reds))
seen["words"] = shown(of_base.image_to_image(reds, "a hat", strength=0.5, seed=4, guidance_scale=3.5))
with tempfile.NamedTemporaryFile(suffix=".png") as file:
    file.write(reds)
    file.flush()
    seen["file"] = shown(of_base.image_to_image(file.name, prompt="a hat", mask_image=mask, negative_prompt="a dog"))
if "target_size" in inspect.signature(of_base.image_to_image).parameters:
    sized = huggingface_hub.ImageToImageTargetSize(width=64, height=32)
    seen["sized"] = shown(of_base.image_to_image(reds, prompt="a hat", target_size=sized))
if hasattr(of_base, "health_check"):
    named = {"provider": "hf-inference"} if "provider" in inspect.signature(InferenceClient).parameters else {}
    seen["health"] = InferenceClient(model=url, token=key, **named).health_check()


async def asynchronous():
    client = AsyncInferenceClient(model=f"{url}/models/ink", token=key)
    try:
        return shown(await client.text_to_image("a cat", seed=4))
    finally:
        if hasattr(client, "close"):
            await client.close()


try:
    import aiohttp  # noqa: F401 -- what the asynchronous client of versions before 1 needs
except ImportError:
    has_asynchronous = not seen["version"].startswith("0.")
else:
    has_asynchronous = True
if has_asynchronous:
    seen["asynchronous"] = asyncio.run(asynchronous())

seen["size"] = failure(of_base.text_to_image, "a cat", width=63)
seen["unknown"] = failure(of_base.text_to_image, "a cat", model=f"{url}/models/pixell")
seen["broken"] = failure(of_base.text_to_image, "a cat", model=f"{url}/models/broken")
seen["other_key"] = failure(InferenceClient(model=url, token="another").text_to_image, "a cat")
seen["no_picture"] = failure(of_base.image_to_image, b"GIF89a no picture that is read", prompt="a hat")
print(json.dumps(seen))
