"""The routes of Hugging Face inference: POST to the base or to a model makes an image, GET says whether it is there."""

from functools import partial

from fastapi import APIRouter, Request, Response

from lorapool_api.kinds.runtime import Device
from lorapool_gateway.http.fields.fields import model_name
from lorapool_gateway.http.gate import Gate, headers_of, lora_header
from lorapool_gateway.http.hf import described
from lorapool_gateway.http.hf.dialect import Sent, parse
from lorapool_gateway.http.models import find_model
from lorapool_gateway.http.passed_on import PassedOnImage
from lorapool_gateway.http.reply_headers import EXPOSED, served_headers
from lorapool_gateway.routing.request import ImageRequest
from lorapool_gateway.serve.image_service import ImageService
from lorapool_gateway.serve.proxy import ServedReply

DIALECT = "hf"
_EXPOSED = ", ".join(EXPOSED)
_COMPUTE_TYPES = {Device.CUDA: "gpu", Device.CPU: "cpu"}


def routes(gate: Gate) -> APIRouter:
    """The router."""
    router = APIRouter()

    @router.post("/", openapi_extra=described.infer("An image by the only pool's base, or by the adapters named."))
    async def infer(request: Request) -> Response:
        return await _infer(gate, request)

    by_model = described.infer("An image by a base or an adapter.")

    @router.post("/models/{model:path}", openapi_extra=by_model)
    @router.post("/hf-inference/models/{model:path}", openapi_extra=by_model)
    async def infer_model(request: Request, model: str) -> Response:
        return await _infer(gate, request, model)

    alive = described.there("Whether the gateway is there.", needs_key=False)

    # `health_check` of huggingface_hub asks for /health.
    @router.api_route("/", methods=["GET", "HEAD"], openapi_extra=alive)
    @router.api_route("/health", methods=["GET", "HEAD"], openapi_extra=alive)
    async def ok() -> dict[str, bool]:
        return {"ok": True}

    known = described.there("Whether a base or an adapter is there.")

    @router.api_route("/models/{model:path}", methods=["GET", "HEAD"], openapi_extra=known)
    @router.api_route("/hf-inference/models/{model:path}", methods=["GET", "HEAD"], openapi_extra=known)
    async def model_ok(request: Request, model: str) -> dict[str, bool]:
        scope = gate.keys.check(request.headers).scope
        find_model(model_name(model), await gate.service.snapshot(), scope)
        return {"ok": True}

    return router


async def _infer(gate: Gate, request: Request, model: str | None = None) -> Response:
    headers = headers_of(request)
    sent = Sent(
        content_type=headers.get("content-type", ""),
        accept=headers.get("accept"),
        model=model,
        lora=lora_header(request),
        query=request.query_params.multi_items() if request.scope["query_string"] else (),
    )
    return await gate.serve(DIALECT, request, partial(parse, sent=sent), partial(_image, gate.service), passes_on=True)


async def _image(service: ImageService, asked: ImageRequest, served: ServedReply) -> Response:
    spent = served.reply.timings
    compute_s = spent.load_s + spent.switch_s + spent.prompt_s + spent.inference_s + spent.encode_s
    headers = {
        "x-compute-time": f"{compute_s:.3f}",
        "x-compute-type": _COMPUTE_TYPES[service.device(served.pool)],
        "x-compute-characters": str(len(asked.generate.prompt)),
        "access-control-expose-headers": _EXPOSED,
    }
    headers |= served_headers(served, asked.warnings)
    if served.coming is not None:
        return PassedOnImage(served.coming, served.reply.format.media_type, headers)
    return Response(await served.images[0].as_sent(), media_type=served.reply.format.media_type, headers=headers)
