"""What a client sends to have a request in the background: a line of a batch file of OpenAI's: pure.

https://platform.openai.com/docs/api-reference/batch/request-input
"""

import re
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import unquote

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import to_json

from lorapool_gateway.errors import BadRequest
from lorapool_gateway.http.fields.fields import json_object, sentence

# The paths that make images.
_PATHS: Final = re.compile(
    r"(/pools/[^/\x00-\x1f]+/[^/\x00-\x1f]+)?"
    r"(/|(/hf-inference)?/models/[^\x00-\x1f]+|/v1/images/(generations|edits|variations)|/sdapi/v1/(txt2img|img2img))"
)
_MAX_PREVIEWS: Final = 10


class BackgroundBody(BaseModel):
    """A request for images, and the path that it is for."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field(
        max_length=1000,
        description="The path of a route that makes images, for example /v1/images/generations; /pools/NAMESPACE/NAME "
        "may stand before it. Headers of this request count for it too.",
    )
    body: dict[str, Any] = Field(description="What would be sent there, in JSON.")
    method: Literal["POST"] = "POST"
    custom_id: str | None = Field(default=None, max_length=512, description="The client's own name for it.")
    previews: int = Field(
        default=0, ge=0, le=_MAX_PREVIEWS, description="How many steps shall show roughly what the first image becomes."
    )


@dataclass(frozen=True)
class Wanted:
    """A request to be made.

    Attributes:
        url, path: as it was sent, and decoded.
        body: in JSON.
    """

    url: str
    path: str
    body: bytes
    custom_id: str | None
    previews: int


def parse(body: bytes) -> Wanted:
    """Raises: BadRequest."""
    try:
        said = BackgroundBody.model_validate(json_object(body))
    except ValidationError as error:
        raise sentence(error) from None
    path = _decoded(said.url)
    if path is None or not _PATHS.fullmatch(path) or "?" in said.url or "#" in said.url:
        raise BadRequest("url must be the path of a route that makes images, without a query", param="url")
    if said.body.get("stream"):
        raise BadRequest("body.stream has no place here: events are at the request's own address", param="body.stream")
    return Wanted(said.url, path, to_json(said.body), said.custom_id, said.previews)


def _decoded(url: str) -> str | None:
    """None: its escapes are no text."""
    if not url.isascii():
        return url
    try:
        return unquote(url, errors="strict")
    except UnicodeDecodeError:
        return None
