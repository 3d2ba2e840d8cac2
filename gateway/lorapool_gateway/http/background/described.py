"""The routes of requests in the background, as the pages of the API describe them."""

from typing import Any, Final

from lorapool_gateway.http.background.body import BackgroundBody
from lorapool_gateway.http.background.replies import BackgroundStatus
from lorapool_gateway.http.described.errors import OpenAIErrorBody
from lorapool_gateway.http.described.operation import BINARY, EVENT, EVENTS, JSON, Content, operation

TAG: Final = "In the background"
_ERRORS: Final = (401, 404, 410, 500, 502)
_STATUS: Final[Content] = {JSON: BackgroundStatus}


def begun(summary: str) -> dict[str, Any]:
    """The route that begins one."""
    errors = (400, 401, 413, 429, 500)
    said = operation(summary, answers=_STATUS, error=OpenAIErrorBody, errors=errors, status=202, tags=[TAG])
    return said | {"requestBody": {"required": True, "content": {JSON: {"schema": BackgroundBody}}}}


def status(summary: str) -> dict[str, Any]:
    """A route that says how far one is."""
    return _asked(summary, _STATUS)


def events(summary: str) -> dict[str, Any]:
    """The route that tells what becomes of one."""
    return _asked(summary, {EVENTS: EVENT})


def result(summary: str) -> dict[str, Any]:
    """The route that answers as the request's own would have."""
    said = _asked(summary, {"*/*": BINARY})
    later = {"description": "It is not over yet.", "content": {JSON: {"schema": BackgroundStatus}}}
    failed = {"description": "How the request failed.", "content": {JSON: {"schema": BINARY}}}
    said["responses"] |= {"202": later, "4XX": failed, "5XX": failed}
    return said


def _asked(summary: str, answers: Content) -> dict[str, Any]:
    return operation(summary, answers=answers, error=OpenAIErrorBody, errors=_ERRORS, tags=[TAG])
