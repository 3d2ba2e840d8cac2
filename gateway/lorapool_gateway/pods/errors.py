"""What goes wrong with pods.

PodError
├── Unreachable     no connection: the pod has not seen the request
├── ConnectionLost  the connection broke before the answer was whole
├── RequestRefused  the pod answered that it did not do it
└── InvalidReply    what it answered is too large, or is no answer
"""

from lorapool_api.wire.reply import ErrorReply


class PodError(Exception):
    """A pod did not do what it was asked."""


class Unreachable(PodError):
    """No connection could be made."""


class ConnectionLost(PodError):
    """The connection broke; the pod may have worked on the request."""


class RequestRefused(PodError):
    """The pod answered with an error; `reply` is None where it is none that this version knows."""

    def __init__(self, status: int, reply: ErrorReply | None) -> None:
        super().__init__(reply.message if reply else f"status {status}")
        self.status = status
        self.reply = reply


class InvalidReply(PodError):
    """The answer is too large, or cannot be understood."""
