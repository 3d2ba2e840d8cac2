"""The serving port: health, metrics, status and images."""

import time
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from lorapool_api.wire.reply import ErrorCode
from lorapool_common.http.request_ids import RequestIds
from lorapool_common.http.server import App
from lorapool_common.signed.calls import Verifier
from lorapool_runtime.app.runtime import Runtime
from lorapool_runtime.errors import RequestError
from lorapool_runtime.http import errors
from lorapool_runtime.http.gates.by_signature import SignatureGate
from lorapool_runtime.http.generate import GenerateRoute
from lorapool_runtime.http.requests.records import RequestRecords
from lorapool_runtime.http.status_stream import StatusStreams

# What the kubelet and Prometheus read.
_OPEN: Final = frozenset({"/healthz", "/readyz", "/metrics"})


def serving_app(runtime: Runtime) -> FastAPI:
    """The routes of the serving port, see `lorapool_api.wire`."""
    app = FastAPI(title="lorapool runtime", openapi_url=None)
    errors.install(app)
    app.add_middleware(RequestIds)
    settings = runtime.settings
    records = RequestRecords(settings.config.pool, settings.pod_name, runtime.count_request, runtime.tracing)
    statuses = StatusStreams(runtime, time.monotonic)
    route = GenerateRoute(runtime.images, records)

    @app.get("/healthz")
    async def health() -> PlainTextResponse:
        if runtime.failure is not None:
            raise RequestError(ErrorCode.NOT_READY, runtime.failure, retryable=True)
        return PlainTextResponse("ok\n")

    @app.get("/readyz")
    async def ready() -> PlainTextResponse:
        if (why := runtime.not_ready) is not None:
            raise RequestError(ErrorCode.NOT_READY, why, retryable=True)
        return PlainTextResponse("ok\n")

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(runtime.metrics_text(), media_type=CONTENT_TYPE_LATEST)

    @app.get("/v1/status")
    async def status(request: Request, since: str = "", instance: str = "") -> Response:
        is_known = instance == runtime.instance and since.isdecimal()
        return statuses.answer(request.headers.get("accept", ""), int(since) if is_known else None)

    @app.post("/v1/generate")
    async def generate(request: Request) -> Response:
        return await route.answer(request)

    return app


def gated_serving(app: FastAPI, verifier: Verifier | None) -> App:
    """The port for gateways: what is no probe and no metric is for calls that they have signed. None: for everybody."""
    if verifier is None:
        return app
    return SignatureGate(app, verifier, unsigned=app, may_be_unsigned=_OPEN.__contains__)
