"""The errors of the runtime.

    RuntimeFailure
      AdapterError      an adapter cannot be served; says why with a `Reason`
      ModelError        the base model cannot be loaded
      RecipeError       the base cannot do what a request asks for
      RequestError      a request is not served; says why with an `ErrorCode`
      Stopped           an image was given up between two steps
      OutOfDeviceMemory the device has no room for what one request asks for, not even with all of it free
      CannotSleep       the base cannot leave the device; it stays there
      CannotWake        the device has no room for the base that left it; it may have later
      OutOfService      this process can make no image any more, and ends
      DeviceLost        the device does nothing any more for this process; a new process may have it again

Only `http/` turns them into statuses.
"""

from lorapool_api.fetch.policy import SourceRefused
from lorapool_api.kinds.conditions import AnyReason, Reason
from lorapool_api.lora.header import FactsError
from lorapool_api.wire.reply import ErrorCode


class RuntimeFailure(Exception):
    """Base of all errors that the runtime raises on purpose."""


class AdapterError(RuntimeFailure):
    """An adapter that cannot be served.

    Attributes:
        reason: what a condition will carry.
        message: what was found and what was expected; never holds a token or the query of an address.
        transient: whether the same entry may succeed later without anybody's doing.
    """

    def __init__(self, reason: Reason, message: str, *, transient: bool | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.transient = reason.traits.is_transient if transient is None else transient

    @classmethod
    def of(cls, error: FactsError | SourceRefused) -> "AdapterError":
        return cls(error.reason, error.message)


class ModelError(RuntimeFailure):
    """The base model cannot be loaded; the text says what was found and what was expected."""


class RecipeError(RuntimeFailure):
    """What a request asks for is within the limits, but nothing that this base can do; the text says why."""


class RequestError(RuntimeFailure):
    """A request that is not served, in the terms of the wire contract."""

    def __init__(
        self, code: ErrorCode, message: str, *, reason: AnyReason | None = None, retryable: bool = False
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason
        self.retryable = retryable


class Stopped(RuntimeFailure):
    """An image was given up between two steps, because nobody wants it any more or its time is over."""


class OutOfDeviceMemory(RuntimeFailure):
    """The device has no room for a request, whatever else was freed. Only asking for less helps."""


class CannotSleep(RuntimeFailure):
    """The base cannot wait in host memory; the text says why. It is on the device as before."""


class CannotWake(RuntimeFailure):
    """The base waits in host memory, and the device has no room for it: somebody else has taken it. Another pod may
    serve the request, or this one later."""


class DeviceLost(RuntimeFailure):
    """The device's context is broken: every later call of this process fails as this one did.

    An illegal access, an assertion in a kernel, a library that lost its handle. No request can be served any more, and
    nothing within the process helps.
    """


class OutOfService(RuntimeFailure):
    """This process can make no image any more; the text says why. A new process may."""


def may_pass(error: Exception) -> bool:
    """Whether the same request may succeed elsewhere or later: this machine's disk, network or memory failed."""
    return isinstance(error, OSError | MemoryError)
