"""Conditions and their reasons, after the Kubernetes API conventions."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, StrEnum
from functools import lru_cache
from typing import Annotated, Final, Literal, Self

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
    UP_TO_DATE = "UpToDate"


# Of both kinds, and only while it is true: nobody has to look at an object that is not paused.
PAUSED_CONDITION: Final = "Paused"


class Remedy(Enum):
    """What has to happen for a reason to end."""

    NOTHING = "nothing"  # it is as it should be, or as somebody wants it
    TIME = "time"
    HELP = "help"  # somebody puts it right, where the object that says so may stay as it is
    EDIT = "edit"  # somebody changes the object, or what it names


class Subject(Enum):
    """What a reason is about, where that is one thing."""

    SOURCE = "source"  # the file, and the way to it
    FIT = "fit"  # whether the file goes with the base model
    PODS = "pods"


@dataclass(frozen=True)
class Traits:
    """How to treat a reason. A word of a newer version has those of the default."""

    remedy: Remedy = Remedy.EDIT
    subject: Subject | None = None

    @property
    def is_transient(self) -> bool:
        """Waiting helps: it says nothing against the object itself."""
        return self.remedy is Remedy.TIME

    @property
    def is_undecided(self) -> bool:
        """Nothing has been found yet, for or against: a condition with it is Unknown and not False."""
        return self.is_transient and self.subject is not Subject.SOURCE

    @property
    def needs_somebody(self) -> bool:
        return self.remedy in (Remedy.HELP, Remedy.EDIT)


class Reason(StrEnum):
    """Why a condition has its status, and how to treat that. A reason means the same in both kinds and on the wire."""

    traits: Traits

    def __new__(cls, word: str, remedy: Remedy = Remedy.EDIT, subject: Subject | None = None) -> Self:
        reason = str.__new__(cls, word)
        reason._value_ = word
        reason.traits = Traits(remedy, subject)
        return reason

    ACCEPTED = "Accepted", Remedy.NOTHING
    RESOLVED = "Resolved", Remedy.NOTHING
    COMPATIBLE = "Compatible", Remedy.NOTHING
    SERVED = "Served", Remedy.NOTHING
    AVAILABLE = "Available", Remedy.NOTHING
    STABLE = "Stable", Remedy.NOTHING
    UP_TO_DATE = "UpToDate", Remedy.NOTHING
    CANARY = "Canary", Remedy.NOTHING
    SCALED_TO_ZERO = "ScaledToZero", Remedy.NOTHING, Subject.PODS
    SUSPENDED = "Suspended", Remedy.NOTHING
    PAUSED = "Paused", Remedy.NOTHING
    MOVING = "Moving", Remedy.TIME

    RESOLVING = "Resolving", Remedy.TIME
    DOWNLOADING = "Downloading", Remedy.TIME
    LOADING = "Loading", Remedy.TIME
    WAITING_FOR_PODS = "WaitingForPods", Remedy.TIME, Subject.PODS
    STARTING = "Starting", Remedy.TIME, Subject.PODS
    ROLLING_OUT = "RollingOut", Remedy.TIME, Subject.PODS
    CONTROL_TOKEN_REFUSED = "ControlTokenRefused", Remedy.TIME, Subject.PODS
    SOURCE_UNAVAILABLE = "SourceUnavailable", Remedy.TIME, Subject.SOURCE

    SOURCE_NOT_FOUND = "SourceNotFound", Remedy.HELP, Subject.SOURCE
    SOURCE_FORBIDDEN = "SourceForbidden", Remedy.HELP, Subject.SOURCE
    DEMAND_UNKNOWN = "DemandUnknown", Remedy.HELP
    MEMBER_NOT_FOUND = "MemberNotFound", Remedy.HELP
    QUOTA_EXCEEDED = "QuotaExceeded", Remedy.HELP
    SECRET_FORBIDDEN = "SecretForbidden", Remedy.HELP, Subject.SOURCE
    SECRET_NOT_FOUND = "SecretNotFound", Remedy.HELP, Subject.SOURCE
    INVALID_SECRET = "InvalidSecret", Remedy.HELP, Subject.SOURCE

    PROGRESS_DEADLINE_EXCEEDED = "ProgressDeadlineExceeded", Remedy.HELP, Subject.PODS

    POOL_NOT_FOUND = "PoolNotFound"
    POOL_AMBIGUOUS = "PoolAmbiguous"
    NAMESPACE_NOT_ALLOWED = "NamespaceNotAllowed"
    NAME_CONFLICT = "NameConflict"
    INVALID_SPEC = "InvalidSpec"
    CHECKSUM_MISMATCH = "ChecksumMismatch", Remedy.EDIT, Subject.SOURCE
    FILE_TOO_LARGE = "FileTooLarge", Remedy.EDIT, Subject.SOURCE
    NOT_A_LORA = "NotALora", Remedy.EDIT, Subject.SOURCE
    UNSUPPORTED_FORMAT = "UnsupportedFormat", Remedy.EDIT, Subject.SOURCE
    INVALID_WEIGHTS = "InvalidWeights", Remedy.EDIT, Subject.SOURCE
    BASE_MODEL_MISMATCH = "BaseModelMismatch", Remedy.EDIT, Subject.FIT
    RANK_TOO_HIGH = "RankTooHigh", Remedy.EDIT, Subject.FIT
    LIMITS_DO_NOT_FIT = "LimitsDoNotFit"
    SLEEP_FAILED = "SleepFailed", Remedy.HELP, Subject.PODS
    MODEL_LOAD_FAILED = "ModelLoadFailed"
    CACHE_NOT_WRITABLE = "CacheNotWritable"
    POD_FAILED = "PodFailed"
    INTERNAL_ERROR = "InternalError"


# A reason as it is read: one of a newer version is a plain word.
AnyReason = Annotated[Reason | Word, OPEN, ANY_WORD]

_TRAITS: Final[Mapping[str, Traits]] = {reason: reason.traits for reason in Reason}


def traits(reason: str) -> Traits:
    """How to treat a reason that was read: one that this version does not know is not transient."""
    return _TRAITS.get(reason, Traits())


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


# Of a status: one of each type, whoever writes it.
Conditions = Annotated[
    tuple[Condition, ...],
    Field(
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    ),
]


def with_transition_times(
    wanted: Iterable[Condition], previous: Iterable[Condition], now: datetime
) -> tuple[Condition, ...]:
    """The wanted conditions, each with the time of its last change of status.

    A condition whose status is that of its predecessor keeps the predecessor's time, whatever happened to
    reason and message; any other changes now. Times have whole seconds, as metav1.Time has.
    """
    before = {c.type: c for c in previous}
    stamp = now.astimezone(UTC).replace(microsecond=0)
    return tuple(_timed(condition, before.get(condition.type), stamp) for condition in wanted)


def _timed(condition: Condition, before: Condition | None, now: datetime) -> Condition:
    """The predecessor itself where it says the same: then nobody has to compare what it holds."""
    since = _since(condition, before, now)
    if before is not None and before.last_transition_time == since and _words(before) == _words(condition):
        return before
    return shared_condition(condition.type, *_words(condition), since)


@lru_cache(maxsize=2048)
def shared_condition(
    type_: str, status: Status, reason: AnyReason, message: str, generation: int, since: datetime | None = None
) -> Condition:
    """The condition. Thousands of adapters that come at once say the same: it is made and kept once."""
    return Condition(
        type=type_, status=status, reason=reason, message=message, observed_generation=generation,
        last_transition_time=since,
    )  # fmt: skip


def _words(condition: Condition) -> tuple[Status, AnyReason, str, int]:
    return condition.status, condition.reason, condition.message, condition.observed_generation


def _since(condition: Condition, predecessor: Condition | None, now: datetime) -> datetime:
    if predecessor is None or predecessor.status != condition.status:
        return now
    return predecessor.last_transition_time or now


def find(conditions: Iterable[Condition], type_: str) -> Condition | None:
    """The condition of that type, or None."""
    return next((c for c in conditions if c.type == type_), None)
