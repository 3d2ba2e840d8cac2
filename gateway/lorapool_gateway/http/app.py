"""The two ASGI applications: inference, and health with metrics."""

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException

from lorapool_common.http import request_ids
from lorapool_gateway.errors import GatewayError
from lorapool_gateway.http import errors, unserved
from lorapool_gateway.http.background import routes as background
from lorapool_gateway.http.background.routes import BackgroundService
from lorapool_gateway.http.fields.fields import short
from lorapool_gateway.http.gate import Gate
from lorapool_gateway.http.hf import routes as hf_routes
from lorapool_gateway.http.kept.passing import Passing
from lorapool_gateway.http.openai import files as image_files
from lorapool_gateway.http.openai import routes as openai_routes
from lorapool_gateway.http.openai.files import ImageFiles
from lorapool_gateway.http.paths.direct import DirectPosts
from lorapool_gateway.http.paths.pools import PoolPaths
from lorapool_gateway.http.reference import routes as reference
from lorapool_gateway.http.reply_headers import EXPOSED
from lorapool_gateway.http.sdapi import alive
from lorapool_gateway.http.sdapi import routes as sdapi_routes
from lorapool_gateway.http.verify import routes as verify
from lorapool_gateway.kept.kept import Kept
from lorapool_gateway.kept.peers import OtherGateways
from lorapool_gateway.metrics import Metrics
from lorapool_gateway.provenance.reader import PictureReader

# Spans are made elsewhere, and say less. FastAPI would look for somebody who wants its own at each request.
_NO_TELEMETRY: Final[TelemetryConfig] = {"tracing": False, "metrics": False, "logs": False}


def inference_app(
    gate: Gate,
    origins: Sequence[str],
    kept: Kept | None = None,
    peers: OtherGateways | None = None,
    reader: PictureReader | None = None,
    public_url: str | None = None,
) -> FastAPI:
    """All dialects; each error in the shape of the dialect whose path was asked.

    Args:
        origins: whose pages may call; `*` stands for all. A browser lets no other page than these read an answer.
        kept: what this gateway keeps.
        peers: the other gateways; None: none is known.
        reader: reads pictures that somebody asks about; by default one that knows no key.
        public_url: what clients reach this one by; None: whatever a request came to.
    """
    app = FastAPI(title="lorapool gateway", docs_url=None, redoc_url=None, openapi_url=None, telemetry=_NO_TELEMETRY)
    kept = kept or Kept()
    passing, files = Passing(kept.ids, peers), ImageFiles(kept, public_url)
    ours = (background.routes(gate, BackgroundService(kept), passing), image_files.routes(files, passing))
    reader = reader or PictureReader()
    webui = (sdapi_routes.routes(gate, reader), alive.routes())
    dialects = (openai_routes.routes(gate, files), verify.routes(gate, reader), *webui, hf_routes.routes(gate))
    routers = (*ours, *dialects)
    # Added first, so it is within all others.
    app.add_middleware(DirectPosts, routers=routers, refuse={GatewayError: _refuse, HTTPException: _refuse_route})
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "HEAD", "POST", "DELETE"],
            allow_headers=["*"],
            expose_headers=EXPOSED,
        )
    app.add_middleware(PoolPaths)
    app.add_middleware(request_ids.RequestIds)  # added last, so it is around all others
    app.add_exception_handler(GatewayError, _refuse)
    app.add_exception_handler(HTTPException, _refuse_route)
    app.add_exception_handler(RequestValidationError, _refuse_parameter)
    app.add_exception_handler(Exception, _fail)
    for router in (*routers, reference.routes(routers)):
        app.include_router(router)
    unserved.install(app)
    return app


def health_app(metrics: Metrics, synced: asyncio.Event, takes_none: asyncio.Event) -> FastAPI:
    """`/healthz`, `/readyz`: the API server was read and requests are still taken, `/metrics`."""
    app = FastAPI(title="lorapool gateway health", docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/healthz")
    async def healthz() -> Response:
        return Response("ok")

    @app.get("/readyz")
    async def readyz() -> Response:
        obstacle = "stopping" if takes_none.is_set() else "" if synced.is_set() else "the API server was not read yet"
        return Response(obstacle or "ok", status_code=503 if obstacle else 200)

    @app.get("/metrics")
    async def numbers() -> Response:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return app


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, GatewayError)  # noqa: S101 -- registered for this class
    # An error that is kept somewhere, by a task above all, keeps the frames that it came through and what it came of,
    # and in these are the request's body and pictures. They would stay until the garbage collector comes.
    error.__traceback__ = error.__context__ = error.__cause__ = None
    return JSONResponse(_body(request, error), errors.status(error), errors.headers(error))


def _body(request: Request, error: GatewayError) -> dict[str, Any]:
    if _is_openai(request):
        return errors.openai_body(error)
    if _is_sdapi(request):
        return sdapi_routes.error_body(error.message, errors.outcome(error))
    return errors.hf_body(error)


async def _refuse_route(request: Request, error: Exception) -> Response:
    """A method that no route has."""
    assert isinstance(error, HTTPException)  # noqa: S101 -- registered for this class
    return _plain(request, error.detail, error.status_code, error.headers)


async def _refuse_parameter(request: Request, error: Exception) -> Response:
    """A parameter of the address that is none."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 -- registered for this class
    first = error.errors()[0]
    return _plain(request, f"{short(str(first['loc'][-1]))}: {first['msg']}", 422, None)


async def _fail(request: Request, _: Exception) -> Response:
    """A defect of ours: the log has the traceback."""
    headers = {request_ids.HEADER: getattr(request.state, request_ids.STATE)}
    return _plain(request, errors.DEFECT, 500, headers)


def _plain(request: Request, message: str, code: int, headers: object) -> Response:
    body: object = {"error": message}
    if _is_openai(request):
        kind = "server_error" if code >= 500 else "invalid_request_error"
        body = {"error": {"message": message, "type": kind, "param": None, "code": None}}
    if _is_sdapi(request):
        body = sdapi_routes.error_body(message, HTTPStatus(code).phrase)
    return JSONResponse(body, code, headers if isinstance(headers, dict) else None)


def _is_openai(request: Request) -> bool:
    return request.url.path.startswith(f"{openai_routes.PREFIX}/")


def _is_sdapi(request: Request) -> bool:
    return request.url.path.startswith(f"{sdapi_routes.PREFIX}/")
