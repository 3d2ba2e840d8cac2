"""The routes of OpenAI: images and models."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from lorapool_api.kinds.images.urls import ImageUrls
from lorapool_gateway.http.fields.fields import model_name
from lorapool_gateway.http.gate import Gate, lora_header
from lorapool_gateway.http.models import find_model, served_models
from lorapool_gateway.http.openai import described
from lorapool_gateway.http.openai import dialect as openai
from lorapool_gateway.http.openai.edits import EditBody, VariationBody, parse_edit, parse_variation
from lorapool_gateway.http.openai.events import EDIT, GENERATION, OpenAIEvents
from lorapool_gateway.http.openai.files import ImageFiles
from lorapool_gateway.http.openai.replies import OpenAIModel, OpenAIModels
from lorapool_gateway.http.reply_headers import served_headers
from lorapool_gateway.http.streams import streamed
from lorapool_gateway.pods.events import OnStep
from lorapool_gateway.serve.proxy import ServedReply
from lorapool_gateway.spool.pictures import without_pictures

DIALECT = "openai"
PREFIX = "/v1"


def routes(gate: Gate, files: ImageFiles) -> APIRouter:
    """The router."""
    router = APIRouter(prefix=PREFIX)

    @router.post("/images/generations", openapi_extra=described.make("Images by a prompt.", openai.Body))
    async def generate(request: Request) -> Response:
        parse = partial(openai.parse, lora_header=lora_header(request))
        return await _images(gate, files, request, parse, GENERATION)

    @router.post("/images/edits", openapi_extra=described.make("A picture changed.", EditBody, form=True))
    async def edit(request: Request) -> Response:
        return await _images(gate, files, request, _of_form(parse_edit, request), EDIT)

    variations = described.make("Pictures like one.", VariationBody, form=True)

    @router.post("/images/variations", openapi_extra=variations)
    async def variation(request: Request) -> Response:
        return await _images(gate, files, request, _of_form(parse_variation, request), EDIT)

    listed = described.models("All bases and adapters that are served.", OpenAIModels)

    @router.api_route("/models", methods=["GET", "HEAD"], openapi_extra=listed)
    async def models(request: Request) -> dict[str, Any]:
        scope = gate.keys.check(request.headers).scope
        return {"object": "list", "data": served_models(await gate.service.snapshot(), scope)}

    one = described.models("One base or adapter.", OpenAIModel)

    @router.api_route("/models/{name:path}", methods=["GET", "HEAD"], openapi_extra=one)
    async def model(request: Request, name: str) -> dict[str, Any]:
        scope = gate.keys.check(request.headers).scope
        return find_model(model_name(name), await gate.service.snapshot(), scope)

    return router


def _of_form(parse: Callable[..., openai.OpenAIRequest], request: Request) -> Callable[[bytes], openai.OpenAIRequest]:
    content_type = request.headers.get("content-type", "")
    return partial(parse, content_type=content_type, lora_header=lora_header(request))


async def _images(
    gate: Gate,
    files: ImageFiles,
    request: Request,
    parse: Callable[[bytes], openai.OpenAIRequest],
    kind: str,
) -> Response:
    events = OpenAIEvents(kind, int(time.time()))

    def noted(body: bytes) -> openai.OpenAIRequest:
        asked = parse(body)
        events.asked = without_pictures(asked)
        return asked

    async def answer(asked: openai.OpenAIRequest, served: ServedReply) -> Response:
        events.served = served
        return await _answer(asked, served, await _addresses(gate, files, request, asked, served))

    async def work(on_step: OnStep) -> Response:
        return await gate.serve(DIALECT, request, noted, answer, partial(_who_sees, on_step))

    return await streamed(work, events)


def _who_sees(on_step: OnStep, asked: openai.OpenAIRequest) -> OnStep | None:
    """Steps that show nothing are no events here, and without them a pod need not put images into JSON."""
    return on_step if asked.generate.previews else None


async def _addresses(
    gate: Gate, files: ImageFiles, request: Request, asked: openai.OpenAIRequest, served: ServedReply
) -> Sequence[str] | None:
    """Where the images are kept; None: nobody asked for it, the pool wants them in the reply, or there is no way."""
    base = files.base(request)
    if not asked.as_url or asked.stream or not base or gate.service.image_urls(served.pool) is ImageUrls.DATA:
        return None
    owner = gate.keys.check(request.headers).id
    return await files.keep(base, owner, served.reply.format, served.images)


async def _answer(asked: openai.OpenAIRequest, served: ServedReply, addresses: Sequence[str] | None) -> Response:
    created = int(time.time())
    message = openai.message(served.reply, served.images, created=created, as_url=asked.as_url, addresses=addresses)
    headers = served_headers(served, asked.warnings) | {"content-length": str(message.size_bytes)}
    return StreamingResponse(message.pieces(), media_type="application/json", headers=headers)
