"""A request to this very application, whose answer is kept in place of sent."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import structlog
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Scope

from lorapool_gateway.errors import OutOfMemory
from lorapool_gateway.http import errors
from lorapool_gateway.http.background.body import Wanted
from lorapool_gateway.http.paths.pools import STATE
from lorapool_gateway.kept.answers import KeptAnswer
from lorapool_gateway.serve.watched import WATCHER, RequestWatcher

log = structlog.get_logger(__name__)

# Of the outer request alone: its body, its connection, its id.
_OWN: Final = frozenset(
    {
        *(b"connection", b"content-encoding", b"content-length", b"content-type", b"expect", b"keep-alive", b"te"),
        *(b"transfer-encoding", b"upgrade", b"x-request-id", b"trailer"),
    }
)
# Said of the answer when it is sent.
_NOT_KEPT: Final = frozenset({"content-length", "date", "server", "vary", "transfer-encoding", "connection"})


@dataclass(frozen=True)
class InnerRequest:
    """A request to the application.

    Attributes:
        body: the one that is to be sent; gone once it was.
    """

    app: ASGIApp
    scope: Scope
    body: list[bytes]

    async def answer(self, watcher: RequestWatcher, max_bytes: int) -> KeptAnswer:
        """What the application answers; its client never goes. More than so many bytes are a 507."""
        state = {**self.scope["state"], WATCHER: watcher}
        answer = _Collected(max_bytes)
        try:
            await _called(self.app, {**self.scope, "state": state}, self._receive, answer)
        except _LargerThanKept:
            return _refusal(max_bytes)
        return KeptAnswer(answer.status, answer.headers, bytes(answer.body))

    async def _receive(self) -> Message:
        if self.body:
            return {"type": "http.request", "body": self.body.pop(), "more_body": False}
        await asyncio.Event().wait()
        raise AssertionError


def inner(outer: Request, wanted: Wanted) -> InnerRequest:
    """The request that is wanted, to the application and with the headers of the outer one."""
    return InnerRequest(outer.app, _scope(outer, wanted), [wanted.body])


async def _called(app: ASGIApp, scope: Scope, receive: Any, answer: "_Collected") -> None:
    try:
        await app(scope, receive, answer.send)
    except _LargerThanKept:
        raise
    except Exception:
        # The application answers a defect of ours with a 500, and raises it for whoever serves it.
        if not answer.is_whole:
            raise
        log.exception("a request in the background failed by a defect")


class _LargerThanKept(Exception):
    """The answer has more bytes than may be kept."""


class _Collected:
    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.status = 500
        self.headers: Mapping[str, str] = {}
        self.body = bytearray()
        self.is_whole = False

    async def send(self, message: Message) -> None:
        """Take a part of it. Raises: _LargerThanKept."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            said = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in message["headers"])
            self.headers = {name: value for name, value in said if _is_kept(name)}
            return
        self.body += message.get("body", b"")
        self.is_whole = not message.get("more_body", False)
        if len(self.body) > self._max_bytes:
            raise _LargerThanKept


def _is_kept(name: str) -> bool:
    return name not in _NOT_KEPT and not name.startswith("access-control-")


def _scope(outer: Request, wanted: Wanted) -> Scope:
    headers = [(name, value) for name, value in outer.scope["headers"] if name not in _OWN]
    headers += [(b"content-type", b"application/json"), (b"content-length", str(len(wanted.body)).encode())]
    pool = getattr(outer.state, STATE, None)
    passed_on = ("type", "asgi", "http_version", "scheme", "client", "server")
    return {name: outer.scope[name] for name in passed_on if name in outer.scope} | {
        "method": "POST",
        "path": wanted.path,
        "raw_path": quote(wanted.path).encode(),
        "root_path": "",
        "query_string": b"",
        "headers": headers,
        "state": {STATE: pool} if pool else {},
    }


def _refusal(max_bytes: int) -> KeptAnswer:
    error = OutOfMemory(f"the answer has more than the {max_bytes} bytes that are kept of one")
    return KeptAnswer(
        errors.status(error), {"content-type": "application/json"}, json.dumps(errors.openai_body(error)).encode()
    )
