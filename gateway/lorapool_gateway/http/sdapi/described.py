"""The routes of A1111's WebUI, as the pages of the API describe them."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

from lorapool_gateway.http.described.errors import WebUIErrorBody
from lorapool_gateway.http.described.operation import JSON, LOOKUP_ERRORS, Schema, images, operation
from lorapool_gateway.http.sdapi.pictures import WebUIPictureBody, WebUIPictureInfo
from lorapool_gateway.http.sdapi.replies import WebUIImages

TAG: Final = "A1111"
_ROWS: Final = {"type": "array", "items": {"type": "object"}}
_OBJECT: Final = {"type": "object"}
_SAYS: Final[Mapping[str, str]] = {
    "sd-models": "The bases.",
    "loras": "The adapters, with their trigger words and defaults.",
    "samplers": "The samplers.",
    "schedulers": "The schedules of noise levels.",
    "options": "What is one way for all clients.",
    "upscalers": "What makes a picture larger before its second pass.",
    "latent-upscale-modes": "What makes latents larger before the second pass.",
}
_OBJECTS: Final = frozenset({"options", "embeddings", "scripts", "cmd-flags"})


def make(summary: str, body: type[BaseModel]) -> dict[str, Any]:
    """A route that makes images."""
    return images(summary, body={JSON: body}, answers={JSON: WebUIImages}, error=WebUIErrorBody, tags=[TAG])


def menu(name: str) -> dict[str, Any]:
    """What a menu of that name is filled with."""
    summary = _SAYS.get(name, "There are none here.")
    return asked(summary, _OBJECT if name in _OBJECTS else _ROWS)


def asked(summary: str, answer: Schema, **more: Any) -> dict[str, Any]:
    """A route that answers a question, or does as it is told and answers null."""
    return operation(summary, answers={JSON: answer}, error=WebUIErrorBody, errors=LOOKUP_ERRORS, tags=[TAG], **more)


def open_to_all(summary: str) -> dict[str, Any]:
    """A route that answers whoever asks."""
    return operation(summary, answers={JSON: _OBJECT}, error=WebUIErrorBody, tags=[TAG], security=[])


def picture(summary: str) -> dict[str, Any]:
    """The route that reads a picture's file."""
    errors = (400, 401, 413, 429, 500, 503)
    said = operation(summary, answers={JSON: WebUIPictureInfo}, error=WebUIErrorBody, errors=errors, tags=[TAG])
    return said | {"requestBody": {"required": True, "content": {JSON: {"schema": WebUIPictureBody}}}}


def options(summary: str) -> dict[str, Any]:
    """The route that takes options."""
    body = {"required": True, "content": {JSON: {"schema": _OBJECT}}}
    errors = (*LOOKUP_ERRORS, 413, 429)
    said = operation(summary, answers={JSON: NOTHING}, error=WebUIErrorBody, errors=errors, tags=[TAG])
    return said | {"requestBody": body}


NOTHING: Final[Schema] = {"type": "null"}
