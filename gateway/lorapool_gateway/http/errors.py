"""What each error is over HTTP: its status, and its words in OpenAI's terms."""

import math
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from lorapool_gateway.errors import (
    AdapterUnavailable,
    AmbiguousModel,
    BadRequest,
    BodyTooLarge,
    Busy,
    ContentRefused,
    DeadlineTooSoon,
    GatewayError,
    Interrupted,
    KeptGone,
    NoPodReady,
    NotChecked,
    NotOnTheHub,
    OutOfMemory,
    OutOfScope,
    PodFailed,
    RateExceeded,
    TimedOut,
    TooManyAtOnce,
    TooManyLookups,
    Unauthorized,
    UnknownKept,
    UnknownModel,
    UnknownRoute,
    VersionNotServed,
)
from lorapool_gateway.provenance.failed import PictureNotRead, PictureNotSigned

# Where nothing is known of when.
RETRY_AFTER_S = 2
_MOST_RETRY_AFTER_S = 86_400
DEFECT = "the gateway failed; its log says why"


@dataclass(frozen=True)
class _Meaning:
    status: HTTPStatus
    type: str
    code: str


_INVALID, _SERVER = "invalid_request_error", "server_error"
_MEANINGS: dict[type[GatewayError], _Meaning] = {
    BadRequest: _Meaning(HTTPStatus.BAD_REQUEST, _INVALID, "invalid_value"),
    BodyTooLarge: _Meaning(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _INVALID, "body_too_large"),
    Unauthorized: _Meaning(HTTPStatus.UNAUTHORIZED, "authentication_error", "invalid_api_key"),
    OutOfScope: _Meaning(HTTPStatus.FORBIDDEN, "permission_error", "model_not_allowed"),
    UnknownRoute: _Meaning(HTTPStatus.NOT_FOUND, _INVALID, "unknown_url"),
    UnknownKept: _Meaning(HTTPStatus.NOT_FOUND, _INVALID, "id_not_found"),
    KeptGone: _Meaning(HTTPStatus.GONE, _INVALID, "gone"),
    UnknownModel: _Meaning(HTTPStatus.NOT_FOUND, _INVALID, "model_not_found"),
    NotOnTheHub: _Meaning(HTTPStatus.NOT_FOUND, _INVALID, "model_not_found"),
    AmbiguousModel: _Meaning(HTTPStatus.CONFLICT, _INVALID, "model_ambiguous"),
    VersionNotServed: _Meaning(HTTPStatus.CONFLICT, _INVALID, "version_not_served"),
    AdapterUnavailable: _Meaning(HTTPStatus.UNPROCESSABLE_ENTITY, _INVALID, "adapter_unavailable"),
    Busy: _Meaning(HTTPStatus.TOO_MANY_REQUESTS, "rate_limit_error", "too_many_pending"),
    RateExceeded: _Meaning(HTTPStatus.TOO_MANY_REQUESTS, "rate_limit_error", "rate_limit_exceeded"),
    TooManyAtOnce: _Meaning(HTTPStatus.TOO_MANY_REQUESTS, "rate_limit_error", "too_many_at_once"),
    TooManyLookups: _Meaning(HTTPStatus.TOO_MANY_REQUESTS, "rate_limit_error", "too_many_lookups"),
    DeadlineTooSoon: _Meaning(HTTPStatus.SERVICE_UNAVAILABLE, _SERVER, "deadline_too_soon"),
    NoPodReady: _Meaning(HTTPStatus.SERVICE_UNAVAILABLE, _SERVER, "no_pod_ready"),
    Interrupted: _Meaning(HTTPStatus.CONFLICT, _INVALID, "interrupted"),
    TimedOut: _Meaning(HTTPStatus.GATEWAY_TIMEOUT, _SERVER, "timeout"),
    OutOfMemory: _Meaning(HTTPStatus.INSUFFICIENT_STORAGE, _SERVER, "out_of_memory"),
    # OpenAI's own name for it: clients know it.
    ContentRefused: _Meaning(HTTPStatus.BAD_REQUEST, _INVALID, "content_policy_violation"),
    NotChecked: _Meaning(HTTPStatus.SERVICE_UNAVAILABLE, _SERVER, "not_checked"),
    PictureNotSigned: _Meaning(HTTPStatus.SERVICE_UNAVAILABLE, _SERVER, "not_signed"),
    PictureNotRead: _Meaning(HTTPStatus.SERVICE_UNAVAILABLE, _SERVER, "not_read"),
    PodFailed: _Meaning(HTTPStatus.BAD_GATEWAY, _SERVER, "pod_failed"),
}
_INTERNAL = _Meaning(HTTPStatus.INTERNAL_SERVER_ERROR, _SERVER, "internal_error")
# What the answer to a request for images may have, beside success.
STATUSES: Final = tuple(sorted({int(meaning.status) for meaning in (*_MEANINGS.values(), _INTERNAL)}))


def _meaning(error: GatewayError) -> _Meaning:
    return _MEANINGS.get(type(error), _INTERNAL)


def status(error: GatewayError) -> HTTPStatus:
    """The status; an adapter that is on its way is a matter of the server, one that cannot work is not."""
    if isinstance(error, AdapterUnavailable) and error.transient:
        return HTTPStatus.SERVICE_UNAVAILABLE
    return _meaning(error).status


def headers(error: GatewayError) -> dict[str, str]:
    """Whether and when to try again; OpenAI's client obeys both, and retries a 409 or 5xx that says nothing."""
    found = {"x-should-retry": "true" if error.should_retry else "false"}
    if status(error) in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        found["retry-after"] = str(retry_after_s(error))
    if isinstance(error, Unauthorized):
        found["www-authenticate"] = "Bearer"
    return found


def retry_after_s(error: GatewayError) -> int:
    """When another try is worth it, in whole seconds, which is all that the header says."""
    if error.retry_after_s is None:
        return RETRY_AFTER_S
    return max(1, math.ceil(min(error.retry_after_s, _MOST_RETRY_AFTER_S)))


def outcome(error: GatewayError) -> str:
    """The error's name in metrics and logs."""
    return _meaning(error).code


def hf_body(error: GatewayError) -> dict[str, Any]:
    """The error as clients of Hugging Face inference read it; older ones wait `estimated_time` after a 503."""
    body: dict[str, Any] = {"error": error.message}
    if status(error) is HTTPStatus.SERVICE_UNAVAILABLE:
        body["estimated_time"] = float(retry_after_s(error))
    return body


def openai_body(error: GatewayError) -> dict[str, Any]:
    """The error as OpenAI's client reads it."""
    meaning = _meaning(error)
    is_about_model = isinstance(
        error, UnknownModel | OutOfScope | AmbiguousModel | VersionNotServed | AdapterUnavailable
    )
    param = "model" if is_about_model else error.param if isinstance(error, BadRequest) else None
    kind = _SERVER if status(error) >= HTTPStatus.INTERNAL_SERVER_ERROR else meaning.type
    return {"error": {"message": error.message, "type": kind, "param": param, "code": meaning.code}}


def openai_defect() -> dict[str, Any]:
    """A defect of ours, after the answer has begun."""
    return {"error": {"message": DEFECT, "type": _SERVER, "param": None, "code": _INTERNAL.code}}
