"""The serving port: health, metrics, status and images."""

from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from lorapool_api.wire.reply import ErrorCode
from lorapool_api.wire.state import BasePhase, ServingStatus
from lorapool_runtime.errors import RequestError
from lorapool_runtime.http import errors
from lorapool_runtime.http.generate import Generator
from lorapool_runtime.pod import Pod


def serving_app(pod: Pod) -> FastAPI:
    """The routes of the serving port, see `lorapool_api.wire`."""
    app = FastAPI(title="lorapool runtime", openapi_url=None)
    errors.install(app)
    generator = Generator(pod)

    @app.get("/healthz")
    async def health() -> PlainTextResponse:
        return PlainTextResponse("ok\n")

    @app.get("/readyz")
    async def ready() -> PlainTextResponse:
        if not pod.is_ready:
            raise RequestError(ErrorCode.NOT_READY, _what_is_missing(pod), retryable=True)
        return PlainTextResponse("ok\n")

    @app.get("/metrics")
    async def metrics() -> Response:
        text = pod.metrics.text(
            pending=pod.dispatcher.pending,
            running=pod.dispatcher.running,
            cold_start_s=pod.base.state.cold_start_s,
            tiers=pod.registry.tiers(),
            held_bytes=pod.held_bytes(),
        )
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    @app.get("/v1/status")
    async def status() -> ServingStatus:
        return pod.status()

    @app.post("/v1/generate")
    async def generate(request: Request) -> Response:
        return await generator.answer(request)

    return app


def _what_is_missing(pod: Pod) -> str:
    if pod.stopping:
        return "stopping"
    if pod.base.state.phase is not BasePhase.WARM:
        return f"base model {pod.base.state.phase}: {pod.base.state.message}"
    return "no catalog has arrived"
