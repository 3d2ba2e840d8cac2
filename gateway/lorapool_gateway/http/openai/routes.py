"""The routes of OpenAI: images and models."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from lorapool_gateway.http.fields.fields import model_name
from lorapool_gateway.http.gate import Gate, lora_header
from lorapool_gateway.http.models import find_model, served_models
from lorapool_gateway.http.openai import dialect as openai
from lorapool_gateway.http.openai.edits import parse_edit, parse_variation
from lorapool_gateway.http.reply_headers import served_headers
from lorapool_gateway.serve.proxy import ServedReply

DIALECT = "openai"
PREFIX = "/v1"
# A prompt, its negative, and the names of adapters.
BODY_BYTES = 1 << 20


def routes(gate: Gate) -> APIRouter:
    """The router."""
    router = APIRouter(prefix=PREFIX)

    @router.post("/images/generations")
    async def generate(request: Request) -> Response:
        parse = partial(openai.parse, lora_header=lora_header(request))
        return await gate.serve(DIALECT, request, parse, _answer, BODY_BYTES)

    @router.post("/images/edits")
    async def edit(request: Request) -> Response:
        return await _from_picture(gate, request, parse_edit)

    @router.post("/images/variations")
    async def variation(request: Request) -> Response:
        return await _from_picture(gate, request, parse_variation)

    @router.api_route("/models", methods=["GET", "HEAD"])
    async def models(request: Request) -> dict[str, Any]:
        gate.keys.check(request.headers)
        return {"object": "list", "data": served_models(await gate.service.snapshot())}

    @router.api_route("/models/{name:path}", methods=["GET", "HEAD"])
    async def model(request: Request, name: str) -> dict[str, Any]:
        gate.keys.check(request.headers)
        return find_model(model_name(name), await gate.service.snapshot())

    return router


async def _from_picture(gate: Gate, request: Request, parse: Callable[..., openai.OpenAIRequest]) -> Response:
    sent = {"content_type": request.headers.get("content-type", ""), "lora_header": lora_header(request)}
    return await gate.serve(DIALECT, request, partial(parse, **sent), _answer)


async def _answer(asked: openai.OpenAIRequest, served: ServedReply) -> Response:
    message = openai.message(served.reply, served.images, created=int(time.time()), as_url=asked.as_url)
    headers = served_headers(served, asked.warnings) | {"content-length": str(message.size_bytes)}
    return StreamingResponse(message.pieces(), media_type="application/json", headers=headers)
