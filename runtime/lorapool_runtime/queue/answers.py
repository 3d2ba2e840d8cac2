"""What a request is told when it gets no images."""

import structlog

from lorapool_api.wire.reply import ErrorCode
from lorapool_runtime.errors import (
    AdapterError,
    CannotWake,
    DeviceLost,
    OutOfDeviceMemory,
    RecipeError,
    RequestError,
    RuntimeFailure,
    Stopped,
    may_pass,
)
from lorapool_runtime.queue.entry import QueueEntry

log = structlog.get_logger(__name__)


def refuse(entry: QueueEntry, error: RequestError) -> None:
    """Answer the request, unless it has an answer."""
    if not entry.answer.done():
        entry.answer.set_exception(error)


def too_late(timeout_s: float) -> RequestError:
    return RequestError(ErrorCode.TIMEOUT, f"no image within {timeout_s:g} s")


def full(message: str) -> RequestError:
    """This pod has no room for it; another one may, or this one later."""
    return RequestError(ErrorCode.TOO_MANY_PENDING, message, retryable=True)


def cannot_make_it(wait_s: float, own_s: float, left_s: float) -> RequestError:
    """It would not be made before its deadline."""
    message = f"it would wait {wait_s:.1f} s and take {own_s:.1f} s: no image within {max(0.0, left_s):.1f} s"
    return RequestError(ErrorCode.DEADLINE_TOO_SOON, message, retryable=True)


def not_ready(message: str) -> RequestError:
    """This pod serves nothing now; another one may."""
    return RequestError(ErrorCode.NOT_READY, message, retryable=True)


def defect(error: Exception) -> RequestError:
    """An error that nobody foresaw. Tried again it fails again, unless it came from outside of the program."""
    log.error("making images failed", exc_info=error)
    message = f"the engine failed with {type(error).__name__}; the base and other requests go on"
    return RequestError(ErrorCode.INTERNAL, message, retryable=may_pass(error))


def request_error(error: RuntimeFailure, entry: QueueEntry, timeout_s: float) -> RequestError:
    """The engine's error in the words of the wire."""
    match error:
        case RequestError():
            return error
        case Stopped():
            return too_late(timeout_s)
        case AdapterError():
            keys = ", ".join(scaled.key for scaled in entry.request.stack)
            message = f"adapter {keys}: {error.message}"
            return RequestError(ErrorCode.ADAPTER_FAILED, message, reason=error.reason, retryable=error.transient)
        case RecipeError():
            return RequestError(ErrorCode.INVALID_REQUEST, str(error))
        case OutOfDeviceMemory():
            return RequestError(ErrorCode.OUT_OF_MEMORY, str(error))
        case CannotWake():
            return not_ready(str(error))
        case DeviceLost():
            return not_ready(f"the device of this pod does not work any more: {error}")
        case _:
            return defect(error)
