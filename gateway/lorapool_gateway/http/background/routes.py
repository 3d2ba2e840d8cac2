"""The routes of requests in the background."""

import asyncio
from functools import partial
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from lorapool_common.http.clients import ClientGone
from lorapool_gateway.errors import KeptGone
from lorapool_gateway.http.background import described
from lorapool_gateway.http.background.body import parse
from lorapool_gateway.http.background.events import MEDIA_TYPE, events_of
from lorapool_gateway.http.background.inner import inner
from lorapool_gateway.http.background.replies import BackgroundStatus, status_of
from lorapool_gateway.http.body import read_body
from lorapool_gateway.http.gate import CLIENT_CLOSED_REQUEST, Gate
from lorapool_gateway.http.kept.passing import Answer, Passing
from lorapool_gateway.kept.background import BackgroundRequest, BackgroundState
from lorapool_gateway.kept.ids import KeptKind
from lorapool_gateway.kept.kept import Kept

PREFIX: Final = "/v1/jobs"
_JSON: Final = "application/json"
# How soon it is worth asking again.
_RETRY_AFTER_S: Final = 1


class BackgroundService:
    """What the routes answer of what this gateway keeps."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    async def begin(self, gate: Gate, request: Request) -> Response:
        """Begin one."""
        owner = gate.keys.check(request.headers).id
        try:
            with gate.spool.body() as body:
                await read_body(request, gate.max_body_bytes, body)
                wanted = await asyncio.to_thread(parse, await body.whole())
        except ClientGone:
            return Response(status_code=CLIENT_CLOSED_REQUEST)
        run = partial(inner(request, wanted).answer, max_bytes=self._kept.answers.most_bytes)
        begun = self._kept.background.begin(owner, wanted.url, wanted.custom_id, wanted.previews, run)
        headers = {"location": f"{PREFIX}/{begun.id}"}
        return _json(self._status(begun), 202, headers)

    async def status(self, id_: str) -> Response:
        """How far it is. Raises: KeptGone."""
        return _json(self._status(self._kept.background.get(id_)))

    async def events(self, id_: str) -> Response:
        """What becomes of it. Raises: KeptGone."""
        request = self._kept.background.get(id_)
        events = events_of(request, partial(self._status, request))
        return StreamingResponse(events, 200, {"cache-control": "no-store"}, MEDIA_TYPE)

    async def result(self, id_: str) -> Response:
        """Its answer, or how far it is. Raises: KeptGone."""
        request = self._kept.background.get(id_)
        if not request.state.is_over:
            return _json(self._status(request), 202, {"retry-after": str(_RETRY_AFTER_S)})
        answer = self._kept.background.answer(request)
        if answer is None or request.state is BackgroundState.CANCELLED:
            raise KeptGone(KeptKind.REQUEST, id_)
        return Response(answer.body, answer.status, dict(answer.headers))

    async def end(self, id_: str) -> Response:
        """End it, or forget it. Raises: KeptGone."""
        return _json(self._status(await self._kept.background.end(id_)))

    def _status(self, request: BackgroundRequest) -> BackgroundStatus:
        return status_of(request, self._kept.background.place(request), self._kept.background.keep_s)

    def answers(self) -> dict[tuple[str, str], Answer]:
        """What other gateways may ask, by method and path."""
        path = f"{KeptKind.REQUEST.value}s/{{id}}"
        return {
            ("GET", path): self.status,
            ("GET", f"{path}/result"): self.result,
            ("GET", f"{path}/events"): self.events,
            ("DELETE", path): self.end,
        }


def routes(gate: Gate, service: BackgroundService, passing: Passing) -> APIRouter:
    """The router."""
    router = APIRouter(prefix=PREFIX)

    async def answered(request: Request, id_: str, tail: str, here: Answer) -> Response:
        owner = gate.keys.check(request.headers).id
        method = "GET" if request.method == "HEAD" else request.method
        return await passing.answered(KeptKind.REQUEST, id_, owner, method, tail, here)

    @router.post("", openapi_extra=described.begun("Have images made in the background."))
    async def begin(request: Request) -> Response:
        return await service.begin(gate, request)

    @router.api_route("/{id}", methods=["GET", "HEAD"], openapi_extra=described.status("How far it is."))
    async def status(request: Request, id: str) -> Response:
        return await answered(request, id, "", service.status)

    @router.api_route("/{id}/result", methods=["GET", "HEAD"], openapi_extra=described.result("Its answer."))
    async def result(request: Request, id: str) -> Response:
        return await answered(request, id, "/result", service.result)

    @router.get("/{id}/events", openapi_extra=described.events("What becomes of it, as it comes."))
    async def events(request: Request, id: str) -> Response:
        return await answered(request, id, "/events", service.events)

    @router.delete("/{id}", openapi_extra=described.status("End it; one that is over is forgotten."))
    async def end(request: Request, id: str) -> Response:
        return await answered(request, id, "", service.end)

    return router


def _json(said: BackgroundStatus, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(said.model_dump_json(), status, headers, _JSON)
