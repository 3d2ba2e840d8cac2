"""The route that says whose a picture is."""

from typing import Any, Final

from fastapi import APIRouter, Request

from lorapool_gateway.errors import BadRequest
from lorapool_gateway.http.body import read_body
from lorapool_gateway.http.fields.forms import is_form, read_form
from lorapool_gateway.http.gate import Gate
from lorapool_gateway.http.verify import described
from lorapool_gateway.provenance.reader import PictureReader

PATH: Final = "/v1/verify"
_FIELD: Final = "image"


def routes(gate: Gate, reader: PictureReader) -> APIRouter:
    """The router."""
    router = APIRouter()

    @router.post(PATH, openapi_extra=described.verify("Whose a picture is, and how it was made."))
    async def verify(request: Request) -> dict[str, Any]:
        caller = gate.keys.check(request.headers)
        with gate.budgets.request(caller), gate.spool.body() as body:
            await read_body(request, gate.max_body_bytes, body)
            content_type = request.headers.get("content-type", "")

            async def picture() -> bytes:
                return picture_in(await body.whole(), content_type)

            report = await reader.report(picture)
        return report.model_dump(mode="json")

    return router


def picture_in(body: bytes, content_type: str) -> bytes:
    """The picture that a body is or, of a form, has: pure. Raises: BadRequest."""
    if not is_form(content_type):
        if not body:
            raise BadRequest("the body is empty: send the picture's file")
        return body
    found = read_form(body, content_type).files_of(_FIELD)
    if len(found) != 1:
        raise BadRequest(f"the form has {len(found)} files called {_FIELD}: send one", param=_FIELD)
    return found[0]
