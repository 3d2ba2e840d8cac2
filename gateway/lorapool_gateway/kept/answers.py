"""Answers that are kept for whoever asks for them later: bounded in time, in bytes, and fair among their owners."""

from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from lorapool_gateway.held import KEEP_S, MAX_KEPT_BYTES

# Beside its body: headers, and what Python takes for it.
_EACH_BYTES: Final = 4 << 10


class DropCause(StrEnum):
    """Why an answer is not kept, or no longer."""

    EXPIRED = "expired"
    ROOM = "room"
    DELETED = "deleted"
    TOO_LARGE = "too_large"


@dataclass(frozen=True)
class KeptAnswer:
    """An answer over HTTP, whole."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def size_bytes(self) -> int:
        return len(self.body) + _EACH_BYTES


@dataclass(frozen=True)
class _KeptAnswer:
    owner: bytes
    answer: KeptAnswer
    until: float


class KeptAnswers:
    """The answers by their IDs, the oldest first. What is over is dropped whenever something comes or is asked for."""

    def __init__(
        self,
        clock: Callable[[], float],
        keep_s: float = KEEP_S,
        max_bytes: int = MAX_KEPT_BYTES,
        dropped: Callable[[DropCause], None] = lambda _: None,
    ) -> None:
        """`dropped` is told of each that goes."""
        self._clock = clock
        self.keep_s = keep_s
        self._max_bytes = max_bytes
        self._dropped = dropped
        self._kept: OrderedDict[str, _KeptAnswer] = OrderedDict()
        self._bytes: Counter[bytes] = Counter()

    @property
    def count(self) -> int:
        """How many are kept."""
        self._drop_old()
        return len(self._kept)

    @property
    def size_bytes(self) -> int:
        """Of all that are kept."""
        self._drop_old()
        return self._bytes.total()

    @property
    def most_bytes(self) -> int:
        """Of the body of one that can be kept."""
        return self._max_bytes - _EACH_BYTES

    def keep(self, id_: str, owner: bytes, answer: KeptAnswer) -> bool:
        """Keep it; for room the oldest go of the owner that has most. False: it has more bytes than all may have."""
        self._drop_old()
        if answer.size_bytes > self._max_bytes:
            self._dropped(DropCause.TOO_LARGE)
            return False
        self._kept[id_] = _KeptAnswer(owner, answer, self._clock() + self.keep_s)
        self._bytes[owner] += answer.size_bytes
        while self._bytes.total() > self._max_bytes:
            ((most, _),) = self._bytes.most_common(1)
            oldest = next(id_ for id_, kept in self._kept.items() if kept.owner == most)
            self.drop(oldest, DropCause.ROOM)
        return id_ in self._kept

    def get(self, id_: str) -> KeptAnswer | None:
        """It, where it is still kept."""
        self._drop_old()
        kept = self._kept.get(id_)
        return kept.answer if kept else None

    def drop(self, id_: str, cause: DropCause = DropCause.DELETED) -> None:
        """Keep it no longer."""
        kept = self._kept.pop(id_, None)
        if kept is None:
            return
        self._dropped(cause)
        self._bytes[kept.owner] -= kept.answer.size_bytes
        if not self._bytes[kept.owner]:
            del self._bytes[kept.owner]

    def _drop_old(self) -> None:
        now = self._clock()
        while self._kept and next(iter(self._kept.values())).until <= now:
            self.drop(next(iter(self._kept)), DropCause.EXPIRED)
