"""Which writes are worth a try: what failed for one object waits by itself and holds up no other.

After client-go's rate-limited queue, with the two kinds of failure told apart. A write that failed for a passing
reason waits, longer each time, unless its object changed meanwhile; where the API server says how long (`Retry-After`),
it waits so long whatever changes. A write that was refused is not tried again until
it would say something else, or the object was edited; only after ten minutes once more, because what refuses (the
definitions, a webhook) may have been put right, and nothing tells of that.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from lorapool_common.backoff import Backoff
from lorapool_common.kube.errors import ApiError

FIRST_RETRY_S: Final = 0.5
MOST_RETRY_S: Final = 30.0
REFUSED_AGAIN_S: Final = 600.0


@dataclass(frozen=True)
class Write:
    """A write that a pass wants.

    Attributes:
        what: name of the write, the same from pass to pass; one object may have several.
        uid: of the object.
        generation: of the object's spec.
        version: the object's resourceVersion.
        content: what would be written.
    """

    what: str
    uid: str
    generation: int
    version: str
    content: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """Of the content, without the times in it, which no API server refuses and each pass sets anew."""
        return hashlib.sha256(json.dumps(_timeless(self.content), sort_keys=True).encode()).hexdigest()


@dataclass
class _Failure:
    state: tuple[object, ...]
    until: float
    asked_until: float = 0.0
    backoff: Backoff = field(default_factory=lambda: Backoff(FIRST_RETRY_S, MOST_RETRY_S))


class FailedWrites:
    """The writes of one pool that failed. Times are those of the given clock, in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._refused: dict[str, _Failure] = {}
        self._failed: dict[str, _Failure] = {}

    def is_refused(self, write: Write) -> bool:
        """Whether the same was refused, so that it is not worth a try."""
        refused = self._refused.get(write.what)
        return refused is not None and refused.until > self._clock() and refused.state == _refusal_state(write)

    def wait_s(self, write: Write) -> float:
        """How long to leave a write alone that failed for a passing reason; 0: it may be tried."""
        failed = self._failed.get(write.what)
        if failed is None:
            return 0.0
        until = failed.until if failed.state == (write.uid, write.version) else failed.asked_until
        return max(0.0, until - self._clock())

    def failed(self, write: Write, error: ApiError) -> float | None:
        """Note a failure; seconds until the write may be tried again, None where only a change makes it worth that."""
        if error.is_refusal:
            self._failed.pop(write.what, None)
            self._refused[write.what] = _Failure(_refusal_state(write), self._clock() + REFUSED_AGAIN_S)
            return None
        self._refused.pop(write.what, None)
        failure = self._failed.setdefault(write.what, _Failure((), 0.0))
        failure.state = (write.uid, write.version)
        wait_s = failure.backoff.next(error.retry_after_s)
        failure.until = self._clock() + wait_s
        failure.asked_until = failure.until if error.retry_after_s else 0.0
        return wait_s

    def succeeded(self, write: Write) -> None:
        self._refused.pop(write.what, None)
        self._failed.pop(write.what, None)

    @property
    def has_failures(self) -> bool:
        return bool(self._refused or self._failed)

    def keep_only(self, writes: Collection[str]) -> None:
        """Forget the failures of writes that nobody can want any more."""
        for failures in (self._refused, self._failed):
            for what in [w for w in failures if w not in writes]:
                del failures[what]


def _refusal_state(write: Write) -> tuple[object, ...]:
    return write.uid, write.generation, write.digest


def _timeless(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _timeless(v) for k, v in value.items() if k != "lastTransitionTime"}
    return [_timeless(v) for v in value] if isinstance(value, list | tuple) else value
