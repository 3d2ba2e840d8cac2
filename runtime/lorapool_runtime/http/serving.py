"""The serving port: health, metrics, status and images."""

from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from lorapool_api.wire.reply import ErrorCode
from lorapool_api.wire.state import ServingStatus
from lorapool_runtime.app.runtime import Runtime
from lorapool_runtime.errors import RequestError
from lorapool_runtime.http import errors
from lorapool_runtime.http.generate import Generator


def serving_app(runtime: Runtime) -> FastAPI:
    """The routes of the serving port, see `lorapool_api.wire`."""
    app = FastAPI(title="lorapool runtime", openapi_url=None)
    errors.install(app)
    generator = Generator(runtime)

    @app.get("/healthz")
    async def health() -> PlainTextResponse:
        if runtime.health.failure is not None:
            raise RequestError(ErrorCode.NOT_READY, runtime.health.failure, retryable=True)
        return PlainTextResponse("ok\n")

    @app.get("/readyz")
    async def ready() -> PlainTextResponse:
        if (why := runtime.not_ready) is not None:
            raise RequestError(ErrorCode.NOT_READY, why, retryable=True)
        return PlainTextResponse("ok\n")

    @app.get("/metrics")
    async def metrics() -> Response:
        text = runtime.metrics.text(
            pending=runtime.dispatcher.pending,
            running=runtime.dispatcher.running,
            cold_start_s=runtime.base.state.cold_start_s,
            adapters=runtime.registry.tier_index.count(),
            held_bytes=runtime.held_bytes(),
        )
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    @app.get("/v1/status")
    async def status(since: str = "", instance: str = "") -> ServingStatus:
        is_known = instance == runtime.instance and since.isdigit()
        return runtime.status(int(since) if is_known else None)

    @app.post("/v1/generate")
    async def generate(request: Request) -> Response:
        return await generator.answer(request)

    return app
