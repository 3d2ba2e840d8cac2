"""What the resolver remembers of one adapter's source, and what an edit or another look changes in that."""

import asyncio
from dataclasses import dataclass

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.conditions import traits
from lorapool_api.kinds.sources import AdapterSource
from lorapool_common.backoff import Backoff
from lorapool_operator.decide.versions import is_unmoved, refresh_of
from lorapool_operator.seen.resolution import Outcome, Resolution, Unresolved
from lorapool_operator.seen.verdict import Verdict
from lorapool_operator.sources.from_status import at_commit, outcome_from_status


@dataclass
class SourceRecord:
    """What is known about one adapter's source.

    Attributes:
        looked_at: the source at the commit that it was found at before; as it is written where it is followed.
        task: attempts until it is resolved.
        is_followed: also while that is paused.
        following: looks at an interval.
    """

    source: AdapterSource
    edit: tuple[int, str | None]
    looked_at: AdapterSource
    outcome: Outcome
    backoff: Backoff
    tried_at_s: float = float("-inf")
    task: asyncio.Task[None] | None = None
    is_followed: bool = False
    following: asyncio.Task[None] | None = None

    @property
    def is_under_way(self) -> bool:
        """Now, or when the time for it has come."""
        return self.task is not None and not self.task.done()

    def cancel(self) -> None:
        self.stop_following()
        if self.task is not None:
            self.task.cancel()

    def stop_following(self) -> None:
        if self.following is not None:
            self.following.cancel()
            self.following = None


def edit_of(adapter: Adapter) -> tuple[int, str | None]:
    return adapter.metadata.generation, refresh_of(adapter)


def misses_pin(outcome: Outcome, adapter: Adapter) -> bool:
    pin = adapter.spec.sha256
    return pin is not None and isinstance(outcome, Resolution) and outcome.sha256 not in (None, pin)


def keep_if_passing(known: Outcome, verdict: Verdict) -> Outcome:
    """A file that was found stays found while the way to it is disturbed."""
    return known if isinstance(known, Resolution) and traits(verdict.reason).is_transient else Unresolved(verdict)


def is_known(known: Outcome, outcome: Outcome) -> bool:
    """Whether a look at what is followed has found nothing new."""
    if isinstance(known, Resolution) and isinstance(outcome, Resolution):
        return is_unmoved(known, outcome)
    return known == outcome


def stay(record: SourceRecord, adapter: Adapter) -> None:
    """It is followed no more: it stays at the file that it is at, and what was found wrong with another is void."""
    record.is_followed = False
    record.stop_following()
    if record.is_under_way:
        return
    before = outcome_from_status(adapter)
    if isinstance(record.outcome, Unresolved) and isinstance(before, Resolution):
        record.outcome = before
    record.looked_at = at_commit(record.source, record.outcome)
