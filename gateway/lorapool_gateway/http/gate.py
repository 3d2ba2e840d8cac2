"""What every request for images passes, whatever its dialect: key, body, service, count."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

import structlog
from fastapi import Request, Response

from lorapool_gateway.errors import GatewayError
from lorapool_gateway.http import status
from lorapool_gateway.http.keys import ApiKeys
from lorapool_gateway.http.receive import ClientGone, read_body, unless_gone
from lorapool_gateway.metrics import Metrics
from lorapool_gateway.proxy import Served
from lorapool_gateway.service import Service

log = structlog.get_logger(__name__)

# nginx's number for a client that closed the connection; nobody reads it.
CLIENT_CLOSED_REQUEST: Final = 499
POOL_HEADER: Final = "x-lorapool-pool"

Work = Callable[[bytes], Coroutine[Any, Any, tuple[Served, Response]]]


@dataclass(frozen=True)
class Gate:
    """The way in."""

    service: Service
    keys: ApiKeys
    metrics: Metrics
    max_body_bytes: int

    async def serve(self, dialect: str, request: Request, work: Work) -> Response:
        """Run the work on the body unless the client goes; count how it ended."""
        try:
            self.keys.check(request.headers.get("authorization"))
            body = await read_body(request, self.max_body_bytes)
            served, response = await unless_gone(request, work(body))
        except ClientGone:
            self.metrics.answered(dialect, "", "client_gone")
            return Response(status_code=CLIENT_CLOSED_REQUEST)
        except GatewayError as error:
            self.metrics.answered(dialect, error.pool, status.outcome(error))
            log.info("refused", dialect=dialect, outcome=status.outcome(error), message=error.message[:500])
            raise
        self.metrics.answered(dialect, served.stack.pool, "ok")
        return response
