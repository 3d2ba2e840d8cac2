"""What every request for images passes, whatever its dialect: key, body, names, service, count."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

import structlog
from fastapi import Request, Response
from structlog.contextvars import bound_contextvars

from lorapool_common.http.clients import ClientGone, unless, unless_gone
from lorapool_common.http.request_ids import HEADER, request_id_headers
from lorapool_common.observe.tracing import NO_TRACING, Role, Span, Tracing
from lorapool_gateway.callers.budgets import KeyBudgets
from lorapool_gateway.callers.caller import ANYONE, Caller
from lorapool_gateway.callers.terms import terms_of
from lorapool_gateway.errors import GatewayError, Interrupted
from lorapool_gateway.held import Bodies
from lorapool_gateway.http import errors
from lorapool_gateway.http.body import read_body
from lorapool_gateway.http.fields.loras import HEADERS
from lorapool_gateway.http.keys import ApiKeys
from lorapool_gateway.http.paths.pools import STATE
from lorapool_gateway.http.reply_headers import POOL
from lorapool_gateway.metrics import Metrics
from lorapool_gateway.pods.events import OnStep
from lorapool_gateway.routing.request import ImageRequest
from lorapool_gateway.serve.image_service import ImageService
from lorapool_gateway.serve.proxy import ServedReply
from lorapool_gateway.serve.watched import WATCHER, watched
from lorapool_gateway.spool.body import Spool

log = structlog.get_logger(__name__)

# nginx's number for a client that closed the connection; nobody reads it.
CLIENT_CLOSED_REQUEST: Final = 499

_OK: Final = "ok"
_RAW_HEADERS: Final = frozenset(name.encode() for name in HEADERS)

Asked = TypeVar("Asked", bound=ImageRequest)


@dataclass(frozen=True)
class Gate:
    """The way in."""

    service: ImageService
    keys: ApiKeys
    metrics: Metrics
    max_body_bytes: int
    spool: Spool = field(default_factory=lambda: Spool(Bodies()))
    tracing: Tracing = NO_TRACING
    budgets: KeyBudgets = field(default_factory=KeyBudgets)

    async def serve(
        self,
        dialect: str,
        request: Request,
        parse: Callable[[bytes], Asked],
        respond: Callable[[Asked, ServedReply], Awaitable[Response]],
        steps: Callable[[Asked], OnStep | None] = lambda _: None,
        interrupted: asyncio.Event | None = None,
        *,
        passes_on: bool = False,
    ) -> Response:
        """Have the images made that the body asks for, unless the client goes; count how it ended.

        Args:
            steps: who is told the steps of the request as a pod does them; None: nobody.
            interrupted: its client sets it to end the request.
            passes_on: whether `respond` passes an image on that is still on its way.

        Raises:
            GatewayError
        """
        call, caller = _Call(dialect), ANYONE
        with self.tracing.span("images", Role.SERVER, request.headers, dialect=dialect) as span:
            try:
                headers = headers_of(request)
                caller = self.keys.check(headers)
                terms = terms_of(headers, caller)
                named = bound_contextvars(**_named(caller)) if caller.name else nullcontext()
                with self.budgets.request(caller), named, self.spool.body() as body:
                    await read_body(request, self.max_body_bytes, body)
                    asked = await body.parsed(parse)
                    resolved = await self.service.resolve(asked, pool_of(request, headers), caller)
                    call.pool, call.images, call.adapters = resolved.pool, resolved.generate.images, resolved.adapters
                    self.budgets.spend(caller, call.images)
                    may_displace = self.budgets.has_little(caller)
                    resolved = replace(resolved, terms=terms, may_displace=may_displace, passes_on=passes_on)
                    resolved, on_step = watched(request.scope.get("state", {}).get(WATCHER), resolved, steps(asked))
                    making = self.service.generate(resolved, caller, on_step)
                    if interrupted is not None:
                        making = unless(interrupted.wait(), making, Interrupted)
                    served = await unless_gone(request.receive, making)
                    response = await _responded(respond(asked, served), served)
            except ClientGone:
                self._ended(call, caller, "client_gone", span)
                return Response(status_code=CLIENT_CLOSED_REQUEST)
            except GatewayError as error:
                self._ended(call, caller, errors.outcome(error), span)
                log.info(
                    "refused",
                    dialect=dialect,
                    outcome=errors.outcome(error),
                    error=error.message[:500],
                    **_named(caller),
                )
                raise
            self._ended(call, caller, _OK, span)
            return response

    def _ended(self, call: "_Call", caller: Caller, outcome: str, span: Span) -> None:
        self.metrics.answered(call.dialect, call.pool, outcome, call.images)
        if caller.name:
            self.metrics.answered_key(caller.name, outcome, call.images)
        request_id = request_id_headers().get(HEADER, "")
        span.set(request_id=request_id, outcome=outcome, pool=call.pool, images=call.images, adapters=call.adapters)
        if outcome != _OK:
            span.fail(outcome)


async def _responded(responding: Awaitable[Response], served: ServedReply) -> Response:
    try:
        return await responding
    except BaseException:
        served.close()
        raise


def _named(caller: Caller) -> dict[str, str]:
    """The name of the caller's key, for lines of the log."""
    return {"api_key": caller.name} if caller.name else {}


@dataclass
class _Call:
    """What is known of a request, for its metrics and its trace."""

    dialect: str
    pool: str = ""
    images: int = 1
    adapters: Sequence[str] = ()


def headers_of(request: Request) -> Mapping[str, str]:
    """Its headers by their names in small letters; of several of one name the first.

    Those of `request.headers` are looked for in the list of all each time.
    """
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(request.scope["headers"])}


def lora_header(request: Request) -> str:
    """All headers that name adapters, as one."""
    if _RAW_HEADERS.isdisjoint([name for name, _ in request.scope["headers"]]):
        return ""
    return ", ".join(value for name in HEADERS for value in request.headers.getlist(name))


def pool_of(request: Request, headers: Mapping[str, str]) -> str | None:
    """The pool that the address or one of its headers names."""
    named: str | None = request.scope.get("state", {}).get(STATE)
    return named or headers.get(POOL)
