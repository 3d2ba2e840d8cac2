"""Errors as the wire contract has them: the only place that knows statuses."""

from typing import Final

import structlog
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from lorapool_api.wire.reply import ErrorCode, ErrorReply
from lorapool_runtime.errors import RequestError, may_pass

log = structlog.get_logger(__name__)

STATUS: Final = {
    ErrorCode.INVALID_REQUEST: 400,
    ErrorCode.UNAUTHORIZED: 401,
    ErrorCode.UNKNOWN_ADAPTER: 404,
    ErrorCode.DIGEST_MISMATCH: 409,
    ErrorCode.ADAPTER_NOT_READY: 409,
    ErrorCode.TOO_LARGE: 413,
    ErrorCode.ADAPTER_FAILED: 422,
    ErrorCode.CONTENT_REFUSED: 422,
    ErrorCode.TOO_MANY_PENDING: 429,
    ErrorCode.INTERNAL: 500,
    ErrorCode.NOT_READY: 503,
    ErrorCode.NOT_CHECKED: 503,
    ErrorCode.DEADLINE_TOO_SOON: 503,
    ErrorCode.TIMEOUT: 504,
    ErrorCode.OUT_OF_MEMORY: 507,
}
# Seconds after which it is worth asking again.
_RETRY_AFTER: Final = {ErrorCode.TOO_MANY_PENDING: "2", ErrorCode.NOT_READY: "1"}


def body_of(error: RequestError) -> ErrorReply:
    """The error as a pod says it."""
    return ErrorReply(code=error.code, message=error.message, reason=error.reason, retryable=error.retryable)


def reply(error: RequestError) -> JSONResponse:
    """The error as a response."""
    body = body_of(error).dump()
    headers = {"retry-after": _RETRY_AFTER[error.code]} if error.code in _RETRY_AFTER else {}
    if error.code is ErrorCode.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    return JSONResponse(body, STATUS[error.code], headers)


def defect(error: Exception) -> RequestError:
    """An error that nobody foresaw. Tried again it fails again, unless it came from outside of the program."""
    return RequestError(ErrorCode.INTERNAL, "an unexpected error; the pod's log has it", retryable=may_pass(error))


def install(app: FastAPI) -> None:
    """Answer every error of this app in the one shape."""

    @app.exception_handler(RequestError)
    async def on_request_error(_: Request, error: RequestError) -> JSONResponse:
        return reply(error)

    @app.exception_handler(HTTPException)
    async def on_route_error(request: Request, error: HTTPException) -> JSONResponse:
        message = f"{request.method} {request.url.path}: {error.detail}"
        body = ErrorReply(code=ErrorCode.INVALID_REQUEST, message=message).dump()
        return JSONResponse(body, error.status_code, error.headers)

    @app.exception_handler(Exception)
    async def on_defect(request: Request, error: Exception) -> JSONResponse:
        log.error("a request met a defect", path=request.url.path, exc_info=error)
        return reply(defect(error))
