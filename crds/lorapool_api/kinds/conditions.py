"""Conditions and their reasons, after the Kubernetes API conventions."""

from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from lorapool_api.newer import ANY_WORD, OPEN, Word
from lorapool_api.schema import ApiModel


class PoolCondition(StrEnum):
    """Conditions of a `BaseModelPool`."""

    READY = "Ready"
    AVAILABLE = "Available"
    PROGRESSING = "Progressing"
    DEGRADED = "Degraded"


class AdapterCondition(StrEnum):
    """Conditions of a `LoraAdapter`, in the order in which they come true."""

    ACCEPTED = "Accepted"
    RESOLVED = "Resolved"
    COMPATIBLE = "Compatible"
    READY = "Ready"


class Reason(StrEnum):
    """Why a condition has its status. One enum for both kinds: a reason means the same everywhere."""

    # It is as it should be.
    ACCEPTED = "Accepted"
    RESOLVED = "Resolved"
    COMPATIBLE = "Compatible"
    SERVED = "Served"
    AVAILABLE = "Available"
    STABLE = "Stable"

    # It will come, given time.
    WAITING_FOR_PODS = "WaitingForPods"
    RESOLVING = "Resolving"
    DOWNLOADING = "Downloading"
    LOADING = "Loading"
    STARTING = "Starting"
    ROLLING_OUT = "RollingOut"
    SCALED_TO_ZERO = "ScaledToZero"
    CONTROL_TOKEN_REFUSED = "ControlTokenRefused"  # noqa: S105 -- a word

    # Somebody has to do something.
    POOL_NOT_FOUND = "PoolNotFound"
    NAMESPACE_NOT_ALLOWED = "NamespaceNotAllowed"
    NAME_CONFLICT = "NameConflict"
    SUSPENDED = "Suspended"
    BASE_MODEL_MISMATCH = "BaseModelMismatch"
    NOT_A_LORA = "NotALora"
    UNSUPPORTED_FORMAT = "UnsupportedFormat"
    INVALID_WEIGHTS = "InvalidWeights"
    RANK_TOO_HIGH = "RankTooHigh"
    CHECKSUM_MISMATCH = "ChecksumMismatch"
    SOURCE_NOT_FOUND = "SourceNotFound"
    SOURCE_FORBIDDEN = "SourceForbidden"
    SOURCE_UNAVAILABLE = "SourceUnavailable"
    FILE_TOO_LARGE = "FileTooLarge"
    LIMITS_DO_NOT_FIT = "LimitsDoNotFit"
    MODEL_LOAD_FAILED = "ModelLoadFailed"
    CACHE_NOT_WRITABLE = "CacheNotWritable"
    POD_FAILED = "PodFailed"
    INVALID_SPEC = "InvalidSpec"
    INTERNAL_ERROR = "InternalError"


# A reason as it is read: one of a newer version is a plain word.
AnyReason = Annotated[Reason | Word, OPEN, ANY_WORD]

# Waiting helps against these: they say nothing against the adapter itself. An unknown reason is none of them.
TRANSIENT: frozenset[Reason] = frozenset(
    {
        Reason.WAITING_FOR_PODS,
        Reason.RESOLVING,
        Reason.DOWNLOADING,
        Reason.LOADING,
        Reason.STARTING,
        Reason.ROLLING_OUT,
        Reason.CONTROL_TOKEN_REFUSED,
        Reason.SOURCE_UNAVAILABLE,
    }
)

Status = Literal["True", "False", "Unknown"]


class Condition(ApiModel):
    """One condition as it stands in a status (metav1.Condition)."""

    type: str = Field(description="What the condition is about.", max_length=316)
    status: Status = Field(description="True, False or Unknown.")
    reason: AnyReason = Field(description="Why, in one word for programs.")
    message: str = Field(description="Why, in a sentence for people: what was found, what to do.", max_length=32768)
    observed_generation: int = Field(
        default=0, description="The generation of the object that this condition was made for.", ge=0
    )
    last_transition_time: datetime | None = Field(default=None, description="When the status last changed.")

    @property
    def is_true(self) -> bool:
        return self.status == "True"


def with_transition_times(
    wanted: Iterable[Condition], previous: Iterable[Condition], now: datetime
) -> tuple[Condition, ...]:
    """The wanted conditions, each with the time of its last change of status.

    A condition whose status is that of its predecessor keeps the predecessor's time, whatever happened to
    reason and message; any other changes now. Times have whole seconds, as metav1.Time has.
    """
    before = {c.type: c for c in previous}
    stamp = now.astimezone(UTC).replace(microsecond=0)
    return tuple(c.model_copy(update={"last_transition_time": _since(c, before, stamp)}) for c in wanted)


def _since(condition: Condition, before: dict[str, Condition], now: datetime) -> datetime:
    predecessor = before.get(condition.type)
    if predecessor is None or predecessor.status != condition.status:
        return now
    return predecessor.last_transition_time or now


def find(conditions: Iterable[Condition], type_: str) -> Condition | None:
    """The condition of that type, or None."""
    return next((c for c in conditions if c.type == type_), None)
