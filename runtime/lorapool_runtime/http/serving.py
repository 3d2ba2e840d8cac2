"""The serving port: health, metrics, status and images."""

from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from lorapool_api.wire.reply import ErrorCode
from lorapool_api.wire.state import ServingStatus
from lorapool_runtime.app.pod import Pod
from lorapool_runtime.errors import RequestError
from lorapool_runtime.http import errors
from lorapool_runtime.http.generate import Generator


def serving_app(pod: Pod) -> FastAPI:
    """The routes of the serving port, see `lorapool_api.wire`."""
    app = FastAPI(title="lorapool runtime", openapi_url=None)
    errors.install(app)
    generator = Generator(pod)

    @app.get("/healthz")
    async def health() -> PlainTextResponse:
        if pod.health.failure is not None:
            raise RequestError(ErrorCode.NOT_READY, pod.health.failure, retryable=True)
        return PlainTextResponse("ok\n")

    @app.get("/readyz")
    async def ready() -> PlainTextResponse:
        if (why := pod.not_ready) is not None:
            raise RequestError(ErrorCode.NOT_READY, why, retryable=True)
        return PlainTextResponse("ok\n")

    @app.get("/metrics")
    async def metrics() -> Response:
        text = pod.metrics.text(
            pending=pod.dispatcher.pending,
            running=pod.dispatcher.running,
            cold_start_s=pod.base.state.cold_start_s,
            adapters=pod.registry.places.count(),
            held_bytes=pod.held_bytes(),
        )
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    @app.get("/v1/status")
    async def status(since: str = "", instance: str = "") -> ServingStatus:
        is_known = instance == pod.instance and since.isdigit()
        return pod.status(int(since) if is_known else None)

    @app.post("/v1/generate")
    async def generate(request: Request) -> Response:
        return await generator.answer(request)

    return app
