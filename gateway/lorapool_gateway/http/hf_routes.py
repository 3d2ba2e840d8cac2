"""The routes of Hugging Face inference: POST on any path makes an image, GET on any path answers ok."""

import base64
from functools import partial

from fastapi import APIRouter, Request, Response

from lorapool_api.running import Device
from lorapool_gateway.http import hf
from lorapool_gateway.http.fields import model_name
from lorapool_gateway.http.gate import POOL_HEADER, Gate
from lorapool_gateway.http.reply_headers import EXPOSED, served_headers
from lorapool_gateway.proxy import Served

DIALECT = "hf"
_COMPUTE_TYPES = {Device.CUDA: "gpu", Device.CPU: "cpu"}


def routes(gate: Gate) -> APIRouter:
    """The router. It answers every path, so it comes last."""
    router = APIRouter()

    @router.post("/models/{model:path}")
    @router.post("/hf-inference/models/{model:path}")
    async def infer_model(request: Request, model: str) -> Response:
        return await gate.serve(DIALECT, request, partial(_infer, gate, request, model))

    @router.post("/{path:path}")
    async def infer(request: Request) -> Response:
        return await gate.serve(DIALECT, request, partial(_infer, gate, request, None))

    @router.get("/{path:path}")
    async def ok() -> dict[str, bool]:
        return {"ok": True}

    return router


async def _infer(gate: Gate, request: Request, model: str | None, body: bytes) -> tuple[Served, Response]:
    headers = request.headers
    asked = hf.parse(body, headers.get("content-type", ""), headers.get("accept"), headers.get("lora"))
    name = model_name(model) if model else None
    served = await gate.service.generate(asked.generate, name, asked.loras, headers.get(POOL_HEADER))
    return served, _image(served, asked, gate.service.device(served.stack.pool))


def _image(served: Served, asked: hf.HfRequest, device: Device) -> Response:
    spent = served.reply.timings
    compute_s = spent.load_s + spent.switch_s + spent.inference_s + spent.encode_s
    headers = {
        "x-compute-time": f"{compute_s:.3f}",
        "x-compute-type": _COMPUTE_TYPES[device],
        "x-compute-characters": str(len(asked.generate.prompt)),
        "access-control-expose-headers": ", ".join(EXPOSED),
    }
    image = base64.b64decode(served.reply.images[0].data)
    headers |= served_headers(served, asked.warnings)
    return Response(image, media_type=served.reply.format.media_type, headers=headers)
