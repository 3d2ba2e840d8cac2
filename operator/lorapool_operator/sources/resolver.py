"""Resolves the sources of adapters, a few at a time, and remembers what it found.

A source is resolved once; the commit that was found stays. It is resolved anew when it is edited, when the annotation
`REFRESH_ANNOTATION` of its object gets another value, or when a pin asks for another file than was found; other edits
do not concern it. What failed for a passing reason is tried again with growing delays; what is missing or forbidden is
tried every few minutes, because it may be put right without an edit; any other refusal is tried again after an edit of
anything, but not before `again_s` have passed: a loop of edits makes no loop of attempts.

A source with `follow` is looked at again at an interval besides, as it is written: its branch, and not the commit that
it was at. Where the file is the one that is known (`is_unmoved`), nobody learns of it.
"""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol

import structlog

from lorapool_api.fetch.policy import SourceRefused
from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.conditions import AnyReason, Reason, Remedy, traits
from lorapool_api.kinds.sources import AdapterSource
from lorapool_api.lora.header import FactsError
from lorapool_common.backoff import Backoff, Uniform
from lorapool_operator.seen.resolution import Outcome, Resolution, Unresolved
from lorapool_operator.seen.verdict import Verdict
from lorapool_operator.sources.from_status import at_commit, is_asked_anew, is_open, outcome_from_status
from lorapool_operator.sources.source_record import SourceRecord, edit_of, is_known, keep_if_passing, misses_pin, stay

log = structlog.get_logger(__name__)

RESOLVED_AT_ONCE: Final = 8
# How far the time between two looks may be from `follow_s`, as a fraction of it.
FOLLOW_JITTER: Final = 0.1
# A source that is followed is left alone for as long as it asks, up to this.
_LONGEST_FOLLOW_WAIT_S: Final = 3600.0


class LooksAtSources(Protocol):
    """One look at a source, as `lorapool_operator.sources.look` has it. Raises: SourceRefused, FactsError."""

    async def look(self, source: AdapterSource, namespace: str) -> Resolution: ...


@dataclass(frozen=True)
class ResolverTimes:
    """Seconds.

    Attributes:
        timeout_s: for one attempt at a source.
        first_retry_s: before the second attempt after a passing failure; doubled with each one, up to `recheck_s`.
        recheck_s: between attempts at what may be put right without an edit.
        again_s: between attempts that edits ask for.
        follow_s: between looks at a source that is followed.
    """

    timeout_s: float = 60.0
    first_retry_s: float = 2.0
    recheck_s: float = 300.0
    again_s: float = 30.0
    follow_s: float = 300.0


class Resolver:
    """Sources to outcomes. `on_found` is called with the adapter's key when one is there."""

    def __init__(
        self,
        sources: LooksAtSources,
        on_found: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        times: ResolverTimes | None = None,
        uniform: Uniform = random.uniform,
    ) -> None:
        """`uniform`: a random number between two bounds, which spreads the looks at what is followed."""
        self._sources = sources
        self._on_found = on_found
        self._clock = clock
        self._times = times or ResolverTimes()
        self._uniform = uniform
        self._at_once = asyncio.Semaphore(RESOLVED_AT_ONCE)
        self._records: dict[str, SourceRecord] = {}

    def known(self, adapter: Adapter) -> Outcome:
        """What is known now. Starts nothing.

        The old outcome stands until a new attempt at the same source is done: pods go on serving.
        """
        record = self._records.get(adapter.metadata.uid)
        if record is None or record.source != adapter.spec.source or adapter.spec.source.value.is_seen_by_pods_only:
            return outcome_from_status(adapter)
        return record.outcome

    def resolve(self, adapter: Adapter) -> None:
        """Start an attempt where one is needed and none is under way, and follow the source where it is to be."""
        record = self._attempt_if_needed(adapter)
        if adapter.spec.follow and record.following is None and not adapter.spec.source.value.is_seen_by_pods_only:
            record.is_followed, record.looked_at = True, record.source
            record.following = asyncio.create_task(self._follow(record, adapter))

    def _attempt_if_needed(self, adapter: Adapter) -> SourceRecord:
        uid, edit = adapter.metadata.uid, edit_of(adapter)
        record = self._records.get(uid)
        if record is not None and record.is_followed and not adapter.spec.follow:
            stay(record, adapter)
        if record is None or record.source != adapter.spec.source:
            self.forget(uid)
            record = self._records[uid] = self._new_record(adapter)
            is_needed = is_open(record.outcome, adapter)
        elif record.edit == edit:
            return record
        else:
            asks_anew = record.edit[1] != edit[1] or misses_pin(record.outcome, adapter)
            is_needed = isinstance(record.outcome, Unresolved) or asks_anew
            record.edit = edit
            if asks_anew:
                record.looked_at = record.source
        if is_needed and not record.is_under_way and not adapter.spec.source.value.is_seen_by_pods_only:
            after_s = max(record.tried_at_s + self._times.again_s - self._clock(), 0.0)
            record.task = asyncio.create_task(self._attempts(record, adapter, after_s))
        return record

    def _new_record(self, adapter: Adapter) -> SourceRecord:
        source, outcome = adapter.spec.source, outcome_from_status(adapter)
        backoff = Backoff(self._times.first_retry_s, self._times.recheck_s)
        looked_at = source if is_asked_anew(outcome, adapter) else at_commit(source, outcome)
        return SourceRecord(source, edit_of(adapter), looked_at, outcome, backoff)

    def pause(self, uid: str) -> None:
        """Look no more at what is followed, until it is to be resolved again."""
        if uid in self._records:
            self._records[uid].stop_following()

    def forget(self, uid: str) -> None:
        """The adapter is gone."""
        record = self._records.pop(uid, None)
        if record is not None:
            record.cancel()

    def close(self) -> None:
        for uid in list(self._records):
            self.forget(uid)

    async def _attempts(self, record: SourceRecord, adapter: Adapter, after_s: float) -> None:
        """Try until there is an outcome that only an edit can change."""
        await asyncio.sleep(after_s)
        while True:
            async with self._at_once:
                record.tried_at_s, (_, refresh) = self._clock(), record.edit
                outcome, delay_s = await self._try(record, adapter, refresh, self._times.recheck_s)
            record.outcome = outcome
            self._on_found(adapter.key)
            if delay_s is None and record.edit[1] != refresh:
                delay_s = self._times.again_s  # asked for anew meanwhile
            if delay_s is None:
                return
            await asyncio.sleep(delay_s)

    async def _follow(self, record: SourceRecord, adapter: Adapter) -> None:
        """Look at an interval, from any moment of the first one on. The attempts that edits ask for go before."""
        pause_s = self._uniform(0.0, self._times.follow_s)
        while True:
            await asyncio.sleep(pause_s)
            pause_s = self._times.follow_s * self._uniform(1 - FOLLOW_JITTER, 1 + FOLLOW_JITTER)
            if record.is_under_way:
                continue
            async with self._at_once:
                refresh = record.edit[1]
                outcome, delay_s = await self._try(record, adapter, refresh, _LONGEST_FOLLOW_WAIT_S)
            if record.is_under_way or record.edit[1] != refresh:
                continue
            if delay_s is None:
                record.backoff.reset()
            pause_s = max(pause_s, delay_s or 0.0)
            if not is_known(record.outcome, outcome):
                record.outcome = outcome
                self._on_found(adapter.key)

    async def _try(
        self, record: SourceRecord, adapter: Adapter, refresh: str | None, longest_s: float
    ) -> tuple[Outcome, float | None]:
        """The outcome, and when to try again: not before the source asks for it, up to `longest_s`."""
        try:
            async with asyncio.timeout(self._times.timeout_s):
                found = await self._sources.look(record.looked_at, adapter.metadata.namespace)
                return replace(found, refresh=refresh), None
        except (FactsError, SourceRefused) as error:
            verdict = Verdict(error.reason, error.message)
            asked = error.retry_after_s if isinstance(error, SourceRefused) else None
        except TimeoutError:
            text = f"{adapter.spec.source.label}: no answer within {self._times.timeout_s:.0f} s"
            verdict, asked = Verdict(Reason.SOURCE_UNAVAILABLE, text), None
        except Exception:  # a card or an answer that nobody foresaw concerns this adapter alone
            log.exception("a source could not be resolved", adapter=adapter.key)
            verdict, asked = Verdict(Reason.INTERNAL_ERROR, "the operator's log says why"), self._times.recheck_s
        return keep_if_passing(record.outcome, verdict), self._delay_s(record, verdict.reason, asked, longest_s)

    def _delay_s(
        self, record: SourceRecord, reason: AnyReason, asked_s: float | None, longest_s: float
    ) -> float | None:
        remedy = traits(reason).remedy
        if remedy is Remedy.TIME or asked_s is not None:
            return max(record.backoff.next(), min(asked_s or 0.0, longest_s))
        return self._times.recheck_s if remedy is Remedy.HELP else None
