"""The route that says whose a picture is, as the pages of the API describe it."""

from typing import Any, Final

from lorapool_gateway.http.described.errors import OpenAIErrorBody
from lorapool_gateway.http.described.operation import BINARY, JSON, operation
from lorapool_gateway.http.fields.forms import MEDIA_TYPE
from lorapool_gateway.provenance.report import PictureReport

TAG: Final = "Provenance"
# What asks no pod: a body, a key, and a process that reads.
READ_ERRORS: Final = (400, 401, 413, 429, 500, 503)
_FORM: Final = {
    "type": "object",
    "required": ["image"],
    "properties": {"image": {}},
    "additionalProperties": False,
    "description": "The picture's file.",
}


def verify(summary: str) -> dict[str, Any]:
    """It takes the picture as it is, or a form with it."""
    pictures = {f"image/{kind}": {"schema": BINARY} for kind in ("png", "jpeg", "webp", "tiff")}
    body = {"required": True, "content": {**pictures, MEDIA_TYPE: {"schema": _FORM}}}
    said = operation(summary, answers={JSON: PictureReport}, error=OpenAIErrorBody, errors=READ_ERRORS, tags=[TAG])
    return said | {"requestBody": body}
