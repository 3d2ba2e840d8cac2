"""The routes of A1111's WebUI: images, and the menus of its clients."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from lorapool_gateway.callers.caller import Scope
from lorapool_gateway.errors import UnknownRoute
from lorapool_gateway.http.body import read_body
from lorapool_gateway.http.described.operation import query
from lorapool_gateway.http.fields.fields import json_object
from lorapool_gateway.http.gate import Gate, lora_header, pool_of
from lorapool_gateway.http.reply_headers import served_headers
from lorapool_gateway.http.sdapi import described, menus
from lorapool_gateway.http.sdapi.body import ImageToImageBody, TextToImageBody
from lorapool_gateway.http.sdapi.dialect import WebUIRequest, parse_image, parse_text
from lorapool_gateway.http.sdapi.info import message
from lorapool_gateway.http.sdapi.pictures import picture_info, picture_of
from lorapool_gateway.http.sdapi.replies import WebUIProgress
from lorapool_gateway.http.sdapi.running import RunningRequests
from lorapool_gateway.provenance.reader import PictureReader
from lorapool_gateway.serve.proxy import ServedReply

DIALECT: Final = "sdapi"
PREFIX: Final = "/sdapi/v1"
# Options that are set: names and words.
_OPTIONS_BYTES: Final = 64 << 10
_DONE_ALREADY: Final = (
    "refresh-checkpoints",
    "refresh-loras",
    "refresh-vae",
    "refresh-embeddings",
    "reload-checkpoint",
)


def routes(gate: Gate, reader: PictureReader) -> APIRouter:
    """The router."""
    router = APIRouter(prefix=PREFIX)
    running = RunningRequests()

    @router.post("/txt2img", openapi_extra=described.make("Images by a prompt.", TextToImageBody))
    async def text_to_image(request: Request) -> Response:
        return await _images(gate, running, request, parse_text)

    @router.post("/img2img", openapi_extra=described.make("A picture changed.", ImageToImageBody))
    async def image_to_image(request: Request) -> Response:
        return await _images(gate, running, request, parse_image)

    @router.post("/options", openapi_extra=described.options("Nothing is set: an option would be that of all."))
    async def set_options(request: Request) -> None:
        scope = gate.keys.check(request.headers).scope
        with gate.spool.body() as body:
            await read_body(request, _OPTIONS_BYTES, body)
            wanted = json_object(body.taken())
        menus.check_options(wanted, await gate.service.snapshot(), await _pool(gate, request, scope), scope)

    said = described.picture("What a picture's file says of how it was made; anybody may have written it.")

    @router.post("/png-info", openapi_extra=said)
    async def png_info(request: Request) -> dict[str, Any]:
        caller = gate.keys.check(request.headers)
        with gate.budgets.request(caller), gate.spool.body() as body:
            await read_body(request, gate.max_body_bytes, body)

            async def picture() -> bytes:
                return await asyncio.to_thread(picture_of, await body.whole())

            return picture_info(await reader.texts(picture))

    skip = query("skip_current_image", "Leave the picture out.", {"type": "boolean"})
    how_far = described.asked("How far the images are.", WebUIProgress, parameters=[skip])

    @router.get("/progress", openapi_extra=how_far)
    async def progress(request: Request, *, skip_current_image: bool = False) -> dict[str, Any]:
        return running.progress(gate.keys.check(request.headers).id, with_image=not skip_current_image)

    ended = described.asked("End what this key has running.", described.NOTHING)

    @router.post("/interrupt", openapi_extra=ended)
    @router.post("/skip", openapi_extra=ended)
    async def interrupt(request: Request) -> None:
        running.interrupt(gate.keys.check(request.headers).id)

    done = described.asked("It is done already.", described.NOTHING)
    for name in _DONE_ALREADY:
        router.add_api_route(f"/{name}", partial(_nothing, gate), methods=["POST"], openapi_extra=done)
    for name in menus.NAMES:
        menu = partial(_menu, gate, name)
        router.add_api_route(f"/{name}", menu, methods=["GET", "HEAD"], openapi_extra=described.menu(name))
    return router


async def _menu(gate: Gate, name: str, request: Request) -> Response:
    scope = gate.keys.check(request.headers).scope
    return JSONResponse(menus.menu(name, await gate.service.snapshot(), await _pool(gate, request, scope), scope))


async def _nothing(gate: Gate, request: Request) -> None:
    """What the WebUI does when it is asked is done here whenever something changes."""
    gate.keys.check(request.headers)


async def _pool(gate: Gate, request: Request, scope: Scope) -> str | None:
    """The full name of the pool that the address or a header names."""
    named = pool_of(request, request.headers)
    if named is None:
        return None
    snapshot = await gate.service.snapshot()
    models = [model for model in snapshot.meant_by(named) if model.adapter is None and scope.allows_pool(model.pool)]
    if len(models) != 1:
        raise UnknownRoute(f"there is no pool {named[:320]!r}")
    return models[0].pool


async def _images(
    gate: Gate, running: RunningRequests, request: Request, parse: Callable[..., WebUIRequest]
) -> Response:
    with running.request(gate.keys.check(request.headers).id) as made:
        read = partial(parse, lora_header=lora_header(request))
        return await gate.serve(
            DIALECT, request, read, _answer, steps=lambda _: made.step, interrupted=made.interrupted
        )


async def _answer(asked: WebUIRequest, served: ServedReply) -> Response:
    reply = message(asked, served.reply, served.images, datetime.now(UTC))
    headers = served_headers(served, asked.warnings) | {"content-length": str(reply.size_bytes)}
    return StreamingResponse(reply.pieces(), media_type="application/json", headers=headers)


def error_body(message_: str, kind: str) -> dict[str, Any]:
    """An error as the WebUI's API says it."""
    return {"error": kind, "detail": message_, "body": "", "errors": message_}
