"""What an error's body is in each dialect, and what each status means here: pure."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from pydantic import BaseModel, Field

from lorapool_gateway.http.errors import STATUSES

_SAID: Final[Mapping[int, str]] = {
    400: "The request cannot be served as it stands.",
    401: "No API key, or a wrong one.",
    403: "The API key is not for that model.",
    404: "Nothing has that name, or nothing is served there.",
    409: "More than one has that name, there is no such version, or its own client ended it.",
    410: "It was kept, and is no longer.",
    413: "The body is larger than a request may have.",
    422: "The adapter cannot be served, with its condition; or a parameter of the address is none.",
    429: "As many wait as may, or the API key has had what it may: `Retry-After` says when to come again.",
    500: "The gateway failed.",
    502: "Pods failed at it.",
    503: "No pod is ready, or the adapter is on its way: `Retry-After` says when to come again.",
    504: "The pool's time for a request is over.",
    507: "No pod's device has room for it.",
}
DESCRIPTIONS: Final[Mapping[int, str]] = {code: _SAID.get(code, HTTPStatus(code).phrase) for code in STATUSES}


class InferenceErrorBody(BaseModel):
    """An error as clients of Hugging Face inference read it."""

    error: str
    estimated_time: float | None = Field(default=None, description="Of a 503: seconds until it is worth asking again.")


class OpenAIErrorFields(BaseModel):
    """What OpenAI's error says."""

    message: str
    type: str
    param: str | None = Field(description="The field that is at fault.")
    code: str | None


class OpenAIErrorBody(BaseModel):
    """An error as OpenAI's clients read it."""

    error: OpenAIErrorFields


class WebUIErrorBody(BaseModel):
    """An error as A1111's WebUI says it."""

    error: str
    detail: str
    body: str
    errors: str
