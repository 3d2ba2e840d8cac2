"""What is answered where nothing is served: 404 with what there is, or 405 with the methods that the path has."""

from typing import Final

from fastapi import APIRouter, FastAPI, HTTPException, Request, Response
from starlette.routing import BaseRoute, Match

from lorapool_gateway.errors import UnknownRoute
from lorapool_gateway.http.fields.fields import short
from lorapool_gateway.http.openai.routes import PREFIX

_SERVED: Final = (
    f"POST / and POST /models/NAME (Hugging Face inference), POST {PREFIX}/images/generations, "
    f"edits and variations and GET {PREFIX}/models (OpenAI), POST /sdapi/v1/txt2img and img2img (A1111), "
    "POST /v1/jobs (in the background); "
    "all of them are at GET /docs and /openapi.json"
)
_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def install(app: FastAPI) -> None:
    """Take every path and method that the routes before do not; so it comes last."""
    served: tuple[BaseRoute, ...] = tuple(app.router.routes)
    router = APIRouter()

    @router.api_route("/{path:path}", methods=list(_METHODS))
    async def nothing(request: Request) -> Response:
        allowed = {method for method in _METHODS if any(_takes(route, request, method) for route in served)}
        if not allowed:
            shown = f"{request.method} {short(request.url.path)}"
            raise UnknownRoute(f"{shown} is not served here: there are {_SERVED}")
        headers = {"allow": ", ".join(sorted(allowed | {"OPTIONS"}))}
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=headers)
        message = f"{short(request.url.path)} does not take {request.method}"
        raise HTTPException(status_code=405, detail=message, headers=headers)

    app.include_router(router)


def _takes(route: BaseRoute, request: Request, method: str) -> bool:
    match, _ = route.matches({**request.scope, "method": method})
    return match is Match.FULL
