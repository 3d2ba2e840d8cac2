"""Requests of OpenAI's `images/edits` and `images/variations`, as forms or in JSON: pure."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from lorapool_api.wire.request import MAX_IMAGES_BESIDE, MAX_PICTURES_CHARACTERS, MaskReading
from lorapool_gateway.errors import BadRequest
from lorapool_gateway.http.fields import pictures
from lorapool_gateway.http.fields.documented import Pictures
from lorapool_gateway.http.fields.fields import json_object, short
from lorapool_gateway.http.fields.forms import is_form, read_form
from lorapool_gateway.http.openai.dialect import Body, OpenAIRequest, fields_of, request

_FILES: Final = ("image", "mask")
# Fields that are lists or objects: in a form they are text.
_JSON: Final = ("loras", "hires", "controls")


class EditBody(Body):
    """What `images/edits` may say besides."""

    strength: float | None = None
    image: Pictures = None
    images: Pictures = None
    mask: Pictures = None


class VariationBody(EditBody):
    """`images/variations` says no words."""

    prompt: str = ""


def parse_edit(body: bytes, content_type: str = "", lora_header: str = "") -> OpenAIRequest:
    """`images/edits`. Raises: BadRequest."""
    return _from_picture(fields_of(_said(body, content_type), EditBody), lora_header, 1 + MAX_IMAGES_BESIDE)


def parse_variation(body: bytes, content_type: str = "", lora_header: str = "") -> OpenAIRequest:
    """`images/variations`. Raises: BadRequest."""
    fields = fields_of(_said(body, content_type), VariationBody)
    if fields.mask is not None:
        raise BadRequest("a variation has no mask: use images/edits", param="mask")
    return _from_picture(fields, lora_header, most=1)


def _said(body: bytes, content_type: str) -> Mapping[str, Any]:
    """What the body says, its pictures in base64."""
    if not is_form(content_type):
        return json_object(body)
    form = read_form(body, content_type)
    unknown = [name for name, _ in form.files if name.removesuffix("[]") not in _FILES]
    if unknown:
        raise BadRequest(f"{short(unknown[0])} is no field for a file here", param=short(unknown[0]))
    said = form.fields()
    files = {name: [_file(name, data) for data in form.files_of(name)] for name in _FILES}
    return {name: _value(name, text) for name, text in said.items()} | {n: f for n, f in files.items() if f}


def _file(name: str, data: bytes) -> str:
    picture = pictures.in_bytes(data, name)
    if picture is None:
        raise BadRequest(f"{name} is no PNG, JPEG or WebP", param=name)
    return picture


def _value(name: str, text: Any) -> Any:
    if name not in _JSON or not isinstance(text, str) or not text.lstrip().startswith(("[", "{")):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"{name} is no JSON: {short(str(error))}", param=name) from None


def _from_picture(fields: EditBody, lora_header: str, most: int) -> OpenAIRequest:
    images = _few("image", [*_texts("image", fields.image), *_texts("images", fields.images)], most)
    if not images:
        raise BadRequest("image is missing: send the picture to begin with", param="image")
    first, *beside = images
    mask = next(iter(_few("mask", _texts("mask", fields.mask), most=1)), None)
    if sum(map(len, images)) + len(mask or "") > MAX_PICTURES_CHARACTERS:
        # In a form they are shorter than in what a pod is sent.
        raise BadRequest(
            f"the pictures have more than {MAX_PICTURES_CHARACTERS // 4 * 3} bytes together", param="image"
        )
    # OpenAI's mask has holes where something else shall be.
    picture = {} if mask is None else {"mask": mask, "mask_reading": MaskReading.TRANSPARENCY}
    several = {"images_beside": tuple(beside)} if beside else {}
    return request(fields, lora_header, image=first, strength=fields.strength, **several, **picture)


def _texts(name: str, value: Any) -> list[str]:
    """The pictures that a field holds: base64, or objects with `image_url`, as JSON has them."""
    if value is None:
        return []
    items = value if isinstance(value, list) else [value]
    return [pictures.must_be_in(name, i.get("image_url") if isinstance(i, Mapping) else i) for i in items]


def _few(name: str, found: Sequence[str], most: int) -> Sequence[str]:
    if len(found) > most:
        read = "one is" if most == 1 else f"{most} are"
        raise BadRequest(f"there are {len(found)} files called {name}; {read} read", param=name)
    return found
