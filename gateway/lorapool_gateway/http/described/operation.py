"""One route as OpenAPI describes it; a type stands for its schema: pure.

https://spec.openapis.org/oas/v3.1.1.html#operation-object
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from pydantic import BaseModel

from lorapool_api.wire.request import MAX_PRIORITY
from lorapool_gateway.callers.terms import DEADLINE, PRIORITY
from lorapool_gateway.http import errors
from lorapool_gateway.http.described.errors import DESCRIPTIONS
from lorapool_gateway.http.reply_headers import DESCRIBED

JSON: Final = "application/json"
Schema = Mapping[str, Any] | type[BaseModel]
Content = Mapping[str, Schema]
# Bytes are no value of JSON, so nothing can be said of them but their media type.
BINARY: Final[Schema] = {}
TEXT: Final[Schema] = {"type": "string"}
EVENTS: Final = "text/event-stream"
# OpenAPI has a word for what each event is from 3.2 on; tools take the schema of earlier pages for it.
EVENT: Final[Schema] = {
    "type": "object",
    "required": ["event", "data"],
    "properties": {"event": TEXT, "data": {"type": "string", "description": "JSON."}},
    "description": "Server-sent events: this is each of them.",
}

_LORA: Final = {
    "name": "lora",
    "in": "header",
    "description": "Adapters that the body does not name: `a`, `a:0.8, b:0.5` or `<lora:a:0.8>`.",
    "schema": TEXT,
}
_POOL: Final = {
    "name": "x-lorapool-pool",
    "in": "header",
    "description": "The pool, as NAMESPACE/NAME, where there are several.",
    "schema": TEXT,
}
_PRIORITY: Final = {
    "name": PRIORITY,
    "in": "header",
    "description": "The higher, the sooner its turn; cut to what the API key allows.",
    "schema": {"type": "integer", "minimum": 0, "maximum": MAX_PRIORITY},
}
_DEADLINE: Final = {
    "name": DEADLINE,
    "in": "header",
    "description": "Seconds after which nobody wants the images: refused at once where it would take longer.",
    "schema": {"type": "number", "exclusiveMinimum": 0, "maximum": 86_400},
}
# Where an image is asked for everything can happen; a menu needs a key, a snapshot and names.
IMAGE_ERRORS: Final = tuple(code for code in errors.STATUSES if code != HTTPStatus.GONE)
LOOKUP_ERRORS: Final = (400, 401, 403, 404, 409, 422, 500, 503)


def operation(
    summary: str,
    *,
    answers: Content,
    error: Schema,
    errors: Sequence[int] = (),
    status: int = 200,
    **more: Any,
) -> dict[str, Any]:
    """What a route's `openapi_extra` is.

    Args:
        answers: of success, by media type; none: it has no body.
        error: what the body of each error is.
        errors: their statuses.
        status: of success.
        more: other fields of OpenAPI's.
    """
    good: dict[str, Any] = {"description": "Done."} | ({"content": _content(answers)} if answers else {})
    refused = {str(code): {"description": DESCRIPTIONS[code], "content": _content({JSON: error})} for code in errors}
    return {"summary": summary, "responses": {str(status): good, **refused}, **more}


def images(summary: str, *, body: Content, answers: Content, error: Schema, **more: Any) -> dict[str, Any]:
    """A route that makes images; its replies say in headers how."""
    said = operation(summary, answers=answers, error=error, errors=IMAGE_ERRORS, **more)
    said["responses"]["200"]["headers"] = {
        name: {"description": text, "schema": TEXT} for name, text in DESCRIBED.items()
    }
    about = {"parameters": [_LORA, _POOL, _PRIORITY, _DEADLINE, *more.get("parameters", ())]}
    return said | about | {"requestBody": {"required": True, "content": _content(body)}}


def query(name: str, description: str, schema: Schema) -> dict[str, Any]:
    """A parameter of the query."""
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _content(said: Content) -> dict[str, Any]:
    return {media_type: {"schema": schema} for media_type, schema in said.items()}
