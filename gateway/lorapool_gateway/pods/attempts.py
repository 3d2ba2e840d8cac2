"""What a pod's failure means for the request that it failed, and what is left to try: pure."""

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from lorapool_api.kinds.conditions import Reason
from lorapool_api.wire.reply import ErrorCode, ErrorReply
from lorapool_gateway.cluster.snapshot import RuntimePod
from lorapool_gateway.errors import (
    AdapterUnavailable,
    BadRequest,
    Busy,
    ContentRefused,
    DeadlineTooSoon,
    GatewayError,
    NoPodReady,
    NotChecked,
    OutOfMemory,
    PodFailed,
    TimedOut,
)
from lorapool_gateway.pods.errors import ConnectionLost, PodError, RequestRefused, Unreachable

MAX_ATTEMPTS: Final = 4


class Cause(Enum):
    """Why a pod did not make the images, where another one may. The values name it in the metrics."""

    AWAY = "away"  # not reached, not ready, stopping: it has not worked on the request
    FULL = "full"
    LATE = "late"  # it would not make it before the request's deadline
    ADAPTER = "adapter"  # not there yet: it is, in a moment
    BROKEN = "broken"  # it worked on the request and failed
    LOST = "lost"  # the connection broke while it worked on it


# A request that breaks one pod may break the next. Of what lasts for a while, as a download, the time is bounded.
_MOST: Final = {Cause.BROKEN: 2, Cause.LOST: 2}


@dataclass(frozen=True)
class FailedAttempt:
    """A try that failed; `error` is what the caller is told where it was the last one."""

    error: GatewayError
    cause: Cause


def judge(error: PodError, pod: RuntimePod) -> FailedAttempt | GatewayError:
    """What the failure means: another try may succeed, or none can."""
    match error:
        case Unreachable():
            return FailedAttempt(NoPodReady(f"pod {pod.name} is not reached"), Cause.AWAY)
        case ConnectionLost():
            return FailedAttempt(PodFailed(f"the connection to pod {pod.name} was lost", transient=True), Cause.LOST)
        case RequestRefused(reply=ErrorReply() as reply):
            return _refusal(reply, pod)
        case RequestRefused():
            return PodFailed(f"pod {pod.name} failed with status {error.status}")
    return PodFailed(f"pod {pod.name} answered what this gateway does not understand")


def _refusal(reply: ErrorReply, pod: RuntimePod) -> FailedAttempt | GatewayError:
    match reply.code:
        case ErrorCode.INVALID_REQUEST | ErrorCode.TOO_LARGE:
            return BadRequest(reply.message)
        case ErrorCode.TIMEOUT:
            return TimedOut(reply.message)
        case ErrorCode.CONTENT_REFUSED:
            return ContentRefused(reply.message)
        case ErrorCode.NOT_CHECKED:
            return NotChecked(reply.message)
        case ErrorCode.OUT_OF_MEMORY:
            return OutOfMemory(reply.message)
        case ErrorCode.TOO_MANY_PENDING:
            return FailedAttempt(Busy(f"pool {pod.pool} is busy: {reply.message}"), Cause.FULL)
        case ErrorCode.DEADLINE_TOO_SOON:
            return FailedAttempt(DeadlineTooSoon(f"pool {pod.pool}: {reply.message}"), Cause.LATE)
        case ErrorCode.UNAUTHORIZED:
            # It may have started with a newer key than this gateway's, or with an older one: others may take it.
            return FailedAttempt(
                NoPodReady(f"pod {pod.name} takes no requests of this gateway: {reply.message}"), Cause.AWAY
            )
        case ErrorCode.NOT_READY:
            return FailedAttempt(NoPodReady(f"pod {pod.name} is not ready: {reply.message}"), Cause.AWAY)
        case ErrorCode.UNKNOWN_ADAPTER | ErrorCode.ADAPTER_NOT_READY:
            # The operator calls the adapter served, so this pod will have it in a moment.
            return FailedAttempt(_unavailable(reply, pod, transient=True), Cause.ADAPTER)
        case ErrorCode.ADAPTER_FAILED:
            error: GatewayError = _unavailable(reply, pod, transient=reply.retryable)
        case _:
            error = PodFailed(f"pod {pod.name} failed: {reply.message}", transient=reply.retryable)
    return FailedAttempt(error, Cause.BROKEN) if reply.retryable else error


def _unavailable(reply: ErrorReply, pod: RuntimePod, *, transient: bool) -> AdapterUnavailable:
    return AdapterUnavailable(f"in pod {pod.name}", reply.reason or Reason.LOADING, reply.message, transient)


@dataclass
class Attempts:
    """The tries of one request.

    Attributes:
        refused_by: uids of pods that come last for the next try.
        broken_by: uids of pods that are not asked again.
        last: why the last try failed.
    """

    refused_by: set[str] = field(default_factory=set)
    broken_by: set[str] = field(default_factory=set)
    last: FailedAttempt | None = None
    _counts: Counter[Cause] = field(default_factory=Counter)

    def failed(self, failed: FailedAttempt, pod: RuntimePod) -> None:
        """Take note; raises the error where no try is left."""
        self.last = failed
        self.refused_by.add(pod.uid)
        if failed.cause is Cause.BROKEN:
            self.broken_by.add(pod.uid)
        self._counts[failed.cause] += 1
        counted = self._counts.total() - self._counts[Cause.ADAPTER]
        is_spent = self._counts[failed.cause] >= _MOST.get(failed.cause, MAX_ATTEMPTS)
        if failed.cause is Cause.ADAPTER or (counted < MAX_ATTEMPTS and not is_spent):
            return
        if failed.cause in _MOST:
            # Sent again by its client, it would break two more.
            failed.error.should_retry = False
        raise failed.error
