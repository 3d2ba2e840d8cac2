"""An API server of a few lines: answers what a test gives it, and remembers what it was asked."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from lorapool_common.kube.access import ClusterAccess

Answer = web.StreamResponse | dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass
class ApiServer:
    """Each answer is made by `answer`, from the request."""

    answer: Callable[[Asked], Answer]
    asked: list[Asked] = field(default_factory=list)
    tls: ssl.SSLContext | None = None
    access: ClusterAccess = field(default_factory=lambda: ClusterAccess(""))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve)
        server = TestServer(app)
        await server.start_server(ssl=self.tls)
        self.access = ClusterAccess(str(server.make_url("")).rstrip("/"), token="first")
        try:
            yield
        finally:
            await server.close()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        text = await request.text()
        asked = Asked(
            request.method,
            request.raw_path.partition("?")[0],
            dict(request.query),
            dict(request.headers),
            json.loads(text) if text else None,
        )
        self.asked.append(asked)
        answer = self.answer(asked)
        if isinstance(answer, Silence):
            await answer.serve(request)
        return web.json_response(answer) if isinstance(answer, dict) else answer


class Silence(web.StreamResponse):
    """A stream that says one thing and then nothing, and never ends."""

    def __init__(self, said: bytes) -> None:
        super().__init__()
        self._said = said

    async def serve(self, request: web.Request) -> None:
        await self.prepare(request)
        await self.write(self._said)
        await asyncio.Event().wait()


def event(type_: str, manifest: dict[str, Any]) -> bytes:
    """A line of a watch."""
    return json.dumps({"type": type_, "object": manifest}).encode() + b"\n"


def refusal(status: int, reason: str, message: str, *causes: str) -> web.Response:
    """What the API server says when it refuses."""
    details = {"causes": [{"reason": cause} for cause in causes]}
    body = {"kind": "Status", "code": status, "reason": reason, "message": message, "details": details}
    return web.json_response(body, status=status)
