"""A proxy between a part and the API server that answers, delays, repeats or drops calls as a test says."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web
from tests.unit.common.kube.api_server import refusal

from lorapool_common.kube.access import ClusterAccess

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}
_BACKGROUND = ("leases", "events")


@dataclass(frozen=True)
class Call:
    """One request; `number` counts all of them from 1, `write` those that change what the tests are about."""

    number: int
    write: int
    method: str
    path: str
    is_watch: bool

    @property
    def kind(self) -> str:
        """The plural of what it is about; empty for discovery."""
        rest = self.path.partition("/namespaces/")[2].split("/")[1:] or self.path.split("/")[4:]
        return rest[0] if rest else ""

    @property
    def is_write(self) -> bool:
        """Whether it changes pools, adapters or what pools own."""
        return self.method != "GET" and self.kind not in _BACKGROUND


@dataclass(frozen=True)
class Fault:
    """What becomes of a call; of one without a fault what the API server does.

    Attributes:
        status: the proxy answers with it, and the API server hears nothing.
        headers: of that answer.
        delay_s: how long it waits before it is passed on.
        loses_request: the connection is closed instead.
        loses_reply: the API server does it, and the connection is closed instead of an answer.
        done: set then.
    """

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    loses_request: bool = False
    loses_reply: bool = False
    done: asyncio.Event | None = None


Faults = Callable[[Call], Fault | None]
REASONS = {409: "Conflict", 410: "Expired", 429: "TooManyRequests", 500: "InternalError", 504: "Timeout"}


def none(_call: Call) -> Fault | None:
    """All is well."""
    return None


class FaultyApi:
    """The API server as a part reaches it, on a free port of 127.0.0.1; its token is passed on.

    Attributes:
        faults: asked for each call.
        calls: those that were made, with what became of them.
    """

    def __init__(self, access: ClusterAccess) -> None:
        self._access = access
        self._tls = ClusterAccess(access.server, access.authority).tls()
        self._watches: dict[asyncio.Task[None], list[bytes]] = {}
        self._writes = 0
        self.faults: Faults = none
        self.calls: list[tuple[Call, Fault | None]] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["FaultyApi"]:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), auto_decompress=False) as session:
            self._session = session
            await self._runner.setup()
            await self.come_back()
            try:
                yield self
            finally:
                await self._runner.cleanup()

    async def go_away(self) -> None:
        """Refuse connections, and close those that there are."""
        await self._site.stop()
        self.cut()

    async def come_back(self) -> None:
        """Take connections, at the port of before."""
        self._site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await self._site.start()
        self.port = self._runner.addresses[0][1]

    def cut(self) -> None:
        """Close all connections, in the middle of whatever is said."""
        assert self._runner.server is not None
        for connection in list(self._runner.server.connections):
            if connection.transport is not None:
                connection.transport.abort()

    def end_watches(self, last: bytes = b"") -> int:
        """End all watches, with this line; how many there were."""
        ending = [(task, lines) for task, lines in self._watches.items() if not task.done()]
        for task, lines in ending:
            lines.append(last)
            task.cancel()
        return len(ending)

    @property
    def watches(self) -> int:
        return len(self._watches)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        call = self._call(request)
        fault = self.faults(call) or Fault()
        self.calls.append((call, fault))
        await asyncio.sleep(fault.delay_s)
        if fault.status is not None:
            answer = refusal(fault.status, REASONS[fault.status], "as the test wants it")
            answer.headers.update(fault.headers)
            return answer
        if fault.loses_request:
            return _lost(request)
        try:
            return await self._pass_on(request, call, fault)
        except aiohttp.ClientError:
            return _lost(request)

    def _call(self, request: web.Request) -> Call:
        plain = Call(len(self.calls) + 1, 0, request.method, request.path, "watch" in request.query)
        if not plain.is_write:
            return plain
        self._writes += 1
        return Call(plain.number, self._writes, plain.method, plain.path, plain.is_watch)

    async def _pass_on(self, request: web.Request, call: Call, fault: Fault) -> web.StreamResponse:
        body = await request.read()
        asked = self._session.request(
            request.method,
            self._access.server + request.raw_path,
            data=body or None,
            headers=_headers(request.headers),
            ssl=self._tls,
            server_hostname=self._access.server_name,
            timeout=aiohttp.ClientTimeout(total=None),
        )
        async with asked as answer:
            if not call.is_watch or answer.status != 200:
                content = await answer.read()
                if fault.loses_reply:
                    if fault.done is not None:
                        fault.done.set()
                    return _lost(request)
                return web.Response(body=content, status=answer.status, headers=_headers(answer.headers))
            reply = web.StreamResponse(status=answer.status, headers=_headers(answer.headers))
            await reply.prepare(request)
            await self._stream(answer, reply)
            return reply

    async def _stream(self, answer: aiohttp.ClientResponse, reply: web.StreamResponse) -> None:
        async def copy() -> None:
            async for chunk in answer.content.iter_any():
                await reply.write(chunk)

        task, last = asyncio.create_task(copy()), list[bytes]()
        self._watches[task] = last
        try:
            await asyncio.wait((task,))
            with contextlib.suppress(ConnectionResetError):
                for line in last:
                    await reply.write(line)
                await reply.write_eof()
        finally:
            del self._watches[task]
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def _headers(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _HOP_BY_HOP}


def _lost(request: web.Request) -> web.Response:
    """The connection is closed without an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def error_line(status: int, reason: str) -> bytes:
    """What the API server sends in a watch that it cannot go on with."""
    said: dict[str, Any] = {"kind": "Status", "code": status, "reason": reason, "message": "as the test wants it"}
    return json.dumps({"type": "ERROR", "object": {"apiVersion": "v1", "status": "Failure", **said}}).encode() + b"\n"
