"""What a picture's file says, as the WebUI's `png-info` answers it."""

import base64
import binascii
import re
from typing import Any, Final

from pydantic import BaseModel, Field, ValidationError

from lorapool_gateway.errors import BadRequest
from lorapool_gateway.http.fields import pictures
from lorapool_gateway.http.fields.fields import json_object, sentence
from lorapool_gateway.provenance.report import PictureTexts

# As the WebUI reads the last line of its own text.
_SETTING: Final = re.compile(r'\s*(\w[\w \-/]{0,60}):\s*("(?:\\.|[^\\"])*"|[^,]*)(?:,|$)')
_NEGATIVE: Final = "Negative prompt:"
_MOST_SETTINGS: Final = 100


class WebUIPictureBody(BaseModel):
    """The picture that is asked about."""

    image: str = Field(description="PNG, JPEG or WebP in base64, also as a data: address.")


class WebUIPictureInfo(BaseModel):
    """What a picture's file says of how it was made. Anybody may have written it."""

    info: str = Field(description="The text `parameters`; empty where there is none.")
    items: dict[str, str] = Field(description="All texts of the file.")
    parameters: dict[str, str] = Field(description="The same as `info`, taken apart.")


def picture_of(body: bytes) -> bytes:
    """The picture that a body names: pure. Raises: BadRequest."""
    try:
        said = WebUIPictureBody.model_validate(json_object(body))
        return base64.b64decode(pictures.must_be_in("image", said.image), validate=True)
    except ValidationError as error:
        raise sentence(error) from None
    except binascii.Error:
        raise BadRequest("image is not in base64", param="image") from None


def picture_info(texts: PictureTexts) -> dict[str, Any]:
    """The fields of a `WebUIPictureInfo`: pure."""
    info = texts.parameters or ""
    items = texts.others | ({"parameters": info} if info else {})
    return {"info": info, "items": items, "parameters": parsed_infotext(info)}


def parsed_infotext(info: str) -> dict[str, str]:
    """Prompt, negative prompt and settings by the WebUI's names: pure."""
    if not info:
        return {}
    *lines, last = info.split("\n")
    settings = [(name.strip(), value.strip()) for name, value in _SETTING.findall(last)[:_MOST_SETTINGS]]
    if len(settings) < 3:  # the WebUI's own measure of a line that is none of settings
        lines, settings = [*lines, last], []
    prompt, mark, negative = "\n".join(lines).partition(f"\n{_NEGATIVE}")
    if not mark and prompt.startswith(_NEGATIVE):
        prompt, negative = "", prompt.removeprefix(_NEGATIVE)
    found = {"Prompt": prompt.strip(), "Negative prompt": negative.strip()}
    return found | {name: _unquoted(value) for name, value in settings}


def _unquoted(value: str) -> str:
    if len(value) < 2 or not value.startswith('"') or not value.endswith('"'):
        return value
    return value[1:-1].replace("\\n", "\n").replace('\\"', '"').replace("\\\\", "\\")
