"""Requests to the pool of the tests, and what a pod may answer."""

from lorapool_api.kinds.conditions import Reason
from lorapool_api.wire.reply import ErrorCode, ErrorReply
from lorapool_api.wire.request import AdapterUse, GenerateRequest
from lorapool_gateway.pods.errors import ConnectionLost, Unreachable
from lorapool_gateway.routing.request import ResolvedRequest

REQUEST = GenerateRequest(prompt="a cat", seed=3)
BASE = ResolvedRequest("default/shapes", REQUEST)
USES = (AdapterUse(key="default/pixel", scale=0.5),)
PIXEL = ResolvedRequest("default/shapes", REQUEST.model_copy(update={"adapters": USES}))
LOST = ConnectionLost("gone")
UNREACHABLE = Unreachable("refused")


def trouble(code: ErrorCode, *, retryable: bool = False, reason: Reason | None = None) -> ErrorReply:
    return ErrorReply(code=code, message="because", retryable=retryable, reason=reason)
