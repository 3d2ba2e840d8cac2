"""The routes of the pages themselves. They tell nothing of an installation, so they need no key."""

import base64
import hashlib
import json
from collections.abc import Sequence
from typing import Any, Final

from fastapi import APIRouter, Response

from lorapool_common.observe.collectors import installed_version
from lorapool_gateway.http.described.errors import InferenceErrorBody
from lorapool_gateway.http.described.operation import JSON, TEXT, operation
from lorapool_gateway.http.reference.document import document
from lorapool_gateway.http.reference.page import STYLE, page

_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
# Nothing of elsewhere, and no script.
_HEADERS: Final = {
    "content-security-policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
}
_HTML: Final = "text/html"


def routes(described: Sequence[APIRouter]) -> APIRouter:
    """The router; `described` are the others, which are served beside it."""
    router = APIRouter()
    texts: dict[str, str] = {}

    @router.api_route(
        "/openapi.json", methods=["GET", "HEAD"], openapi_extra=_described("This page, for programs.", JSON)
    )
    async def openapi() -> Response:
        return Response(texts[JSON], media_type=JSON)

    @router.api_route("/docs", methods=["GET", "HEAD"], openapi_extra=_described("This page, for people.", _HTML))
    async def for_people() -> Response:
        return Response(texts[_HTML], media_type=_HTML, headers=_HEADERS)

    whole = document((*described, router), installed_version())
    texts[JSON], texts[_HTML] = json.dumps(whole), page(whole)
    return router


def _described(summary: str, media_type: str) -> dict[str, Any]:
    answer = {"type": "object"} if media_type == JSON else TEXT
    return operation(summary, answers={media_type: answer}, error=InferenceErrorBody, tags=["The pages"], security=[])
