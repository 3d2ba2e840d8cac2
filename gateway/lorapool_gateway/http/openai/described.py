"""The routes of OpenAI, as the pages of the API describe them."""

from typing import Any, Final

from pydantic import BaseModel

from lorapool_gateway.http.described.errors import OpenAIErrorBody
from lorapool_gateway.http.described.operation import (
    BINARY,
    EVENT,
    EVENTS,
    JSON,
    LOOKUP_ERRORS,
    TEXT,
    images,
    operation,
)
from lorapool_gateway.http.fields.forms import MEDIA_TYPE
from lorapool_gateway.http.openai.replies import OpenAIImages

TAG: Final = "OpenAI"
_FORM: Final = {
    "type": "object",
    "required": ["image"],
    "properties": {"image": {}, "image[]": {"type": "array", "items": {}}, "mask": {}},
    "additionalProperties": TEXT,
    "description": "The fields of the JSON, lists and objects as JSON; pictures are files.",
}


def make(summary: str, body: type[BaseModel], *, form: bool = False) -> dict[str, Any]:
    """A route that makes images; with `stream: true` it answers with events."""
    return images(
        summary,
        body={JSON: body} | ({MEDIA_TYPE: _FORM} if form else {}),
        answers={JSON: OpenAIImages, EVENTS: EVENT},
        error=OpenAIErrorBody,
        tags=[TAG],
    )


def file(summary: str) -> dict[str, Any]:
    """The route of a picture, which needs no key."""
    pictures = {f"image/{kind}": BINARY for kind in ("png", "jpeg", "webp")}
    errors = (404, 410, 500, 502)
    return operation(summary, answers=pictures, error=OpenAIErrorBody, errors=errors, tags=[TAG], security=[])


def models(summary: str, answer: type[BaseModel]) -> dict[str, Any]:
    """A route that says what is served."""
    return operation(summary, answers={JSON: answer}, error=OpenAIErrorBody, errors=LOOKUP_ERRORS, tags=[TAG])
