"""Every call of OpenAI's Python client that makes pictures; what came of each is printed as one line of JSON.

It runs with any version of the client since 1.30, and without anything of this project.
"""

import base64
import inspect
import io
import json
import struct
import sys
import urllib.request
import zlib

import openai

url, key = sys.argv[1:]
client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=30)
seen = {"version": openai.__version__}


def png(red, green, blue):
    """A picture of one colour: the client brings nothing that draws."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)
    lines = (b"\0" + bytes((red, green, blue)) * 8) * 8
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def failure(call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except openai.APIStatusError as error:
        return {
            "class": type(error).__name__,
            "status": error.status_code,
            "code": error.code,
            "param": error.param,
            "type": error.type,
            "message": error.message,
            "request_id": bool(error.request_id),
        }


images = client.images
reds, greens = png(255, 0, 0), png(0, 255, 0)
seen["sent"] = [base64.b64encode(data).decode() for data in (reds, greens)]

seen["models"] = [model.id for model in client.models.list()]
seen["model"] = client.models.retrieve("nerijs/pixel-art-xl").id

ours = {"seed": 4, "loras": [{"name": "pixel", "scale": 0.8}]}
usual = {"model": "shapes", "prompt": "a cat", "size": "64x64"}
made = images.generate(**usual, n=2, response_format="b64_json", quality="standard", user="me", extra_body=ours)
seen["generate"] = [image.b64_json for image in made.data]
seen["created"] = made.created
address = images.generate(**usual, response_format="url", extra_body={"seed": 4}).data[0].url
picture = urllib.request.urlopen(address, timeout=30).read()  # noqa: S310 -- the gateway's own address
seen["as_url"] = base64.b64encode(picture).decode()
raw = images.with_raw_response.generate(model="pixel", prompt="a cat", extra_headers={"x-request-id": "mine"})
seen["raw"] = [raw.headers["x-request-id"], raw.headers["x-lorapool-pod"], len(raw.parse().data)]

edit = {"prompt": "a hat", "model": "shapes", "size": "64x64"}
edited = images.edit(**edit, image=reds, mask=greens, extra_body=ours)
seen["edit"] = [image.b64_json for image in edited.data]
named = ("a picture.png", io.BytesIO(reds), "image/png")
seen["edit_named"] = len(images.edit(**edit, image=named, n=2).data)
seen["vary"] = len(images.create_variation(model="pixel", image=reds, n=2, size="64x64").data)

takes_several = "SequenceNotStr" in str(inspect.signature(images.edit)) or "List[" in str(
    inspect.signature(images.edit)
)
if takes_several:
    seen["edit_several"] = len(images.edit(**edit, image=[reds, greens]).data)

if "partial_images" in inspect.signature(images.generate).parameters:
    stream = images.generate(**usual, stream=True, partial_images=2, extra_body={"seed": 4})
    seen["stream"] = [[event.type, getattr(event, "partial_image_index", None), event.b64_json] for event in stream]
    with images.generate(**usual, stream=True, partial_images=0, extra_body={"seed": 4}) as stream:
        events = list(stream)
    seen["stream_of_none"] = [[event.type, event.usage.total_tokens, event.size] for event in events]
    stream = images.edit(**edit, image=reds, stream=True, partial_images=1)
    seen["stream_of_edit"] = [event.type for event in stream]

seen["unknown"] = failure(images.generate, model="pixell", prompt="a cat")
seen["size"] = failure(images.generate, model="shapes", prompt="a cat", size="64 by 64")
seen["broken"] = failure(images.generate, model="broken", prompt="a cat")
seen["no_picture"] = failure(images.edit, **edit, image=b"no picture")
seen["too_large"] = failure(images.edit, **edit, image=reds + bytes(2 << 20))
seen["other_key"] = failure(client.with_options(api_key="another").images.generate, **usual)
seen["unserved"] = failure(client.chat.completions.create, model="shapes", messages=[{"role": "user", "content": "a"}])
print(json.dumps(seen))
