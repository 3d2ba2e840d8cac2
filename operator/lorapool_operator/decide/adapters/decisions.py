"""All adapters of a pool at once, from pass to pass: what did not change is not decided again."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Self

from lorapool_api.kinds.adapter import Adapter, AdapterStatus
from lorapool_api.kinds.conditions import AdapterCondition, find, traits
from lorapool_api.kinds.pool import AdapterCounts
from lorapool_api.wire.catalog import CatalogEntry
from lorapool_api.wire.state import AdapterState, BaseReport
from lorapool_operator.decide.adapters.adapter_status import WantedStatus, wanted_status
from lorapool_operator.decide.adapters.checker import CheckResult, CheckResults
from lorapool_operator.decide.adapters.checks import CheckInput, Fit
from lorapool_operator.decide.adapters.fit import misfit
from lorapool_operator.decide.adapters.in_pods.status_input import InPod, StatusInput
from lorapool_operator.decide.adapters.names import NamesInput, settle_names
from lorapool_operator.decide.adapters.pool_pods import PoolPods
from lorapool_operator.decide.adapters.rollout.takeover import is_overdue
from lorapool_operator.decide.adapters.rollout.version_checks import check_versions
from lorapool_operator.decide.adapters.stacks import stack_input, stack_status, with_members
from lorapool_operator.decide.memo import Memo
from lorapool_operator.placement.place import NO_COPIES, CopyCount
from lorapool_operator.seen.desired import DesiredPool
from lorapool_operator.seen.handover import ServedElsewhere
from lorapool_operator.seen.observed import Observed
from lorapool_operator.seen.resolution import Outcome, Resolving

_NO_CONFLICTS: Final[Mapping[str, str]] = {}
_NOT_ASKED: Final = Resolving()


@dataclass(frozen=True)
class ChecksInput:
    """What the results of all adapters depend on. `outcomes` are by adapter's key."""

    names: NamesInput
    outcomes: Mapping[str, Outcome]
    base: BaseReport | None
    url_hosts: tuple[str, ...]

    @classmethod
    def of(cls, seen: Observed, base: BaseReport | None) -> Self:
        pool = DesiredPool.of(seen.pool) if seen.pool else None
        names = NamesInput(seen.key, pool, seen.adapters, seen.namespace_labels)
        return cls(names, seen.outcomes, base, seen.url_hosts)


@dataclass(frozen=True)
class PodWords:
    """What a pod says of all adapters, by their keys."""

    pod: str
    is_warm: bool
    adapters: Mapping[str, AdapterState]


@dataclass(frozen=True)
class StatusesInput:
    """What the statuses of all adapters depend on; `now` as in `StatusInput`.

    Attributes:
        copies: key of an entry -> how many pods shall hold it.
        elsewhere: adapter's key -> how it fares in the pool that it leaves.
        overdue: keys of adapters whose verified candidate waits no longer for its other copies.
    """

    results: CheckResults
    copies: Mapping[str, CopyCount]
    pods: PoolPods
    said: tuple[PodWords, ...]
    elsewhere: Mapping[str, ServedElsewhere]
    overdue: frozenset[str]
    now: datetime = field(compare=False)

    @classmethod
    def of(cls, checked: "CheckedAdapters", copies: Mapping[str, CopyCount], seen: Observed) -> Self:
        said = tuple(PodWords(p.name, p.key in seen.warm, report.adapters) for p, report in seen.running_pods)
        rolling = (checked.results[key].adapter for key in checked.rolling)
        overdue = frozenset(adapter.key for adapter in rolling if is_overdue(adapter.status.candidate, seen.now))
        return cls(checked.results, copies, PoolPods.of(seen), said, seen.elsewhere, overdue, seen.now)


@dataclass(frozen=True)
class CheckedAdapters:
    """What the checks say of all adapters; those that are being deleted are left out.

    Attributes:
        results: by adapter's key.
        accepted: adapters whose sources are worth resolving.
        entries: what the pods shall have, in order of the keys.
        rolling: keys of those that are to be served in another version.
        paused: keys of those about which nothing is to be done.
    """

    results: CheckResults
    accepted: tuple[Adapter, ...]
    entries: tuple[CatalogEntry, ...]
    rolling: tuple[str, ...]
    paused: frozenset[str] = frozenset()

    @classmethod
    def of(cls, results: CheckResults) -> Self:
        entries = sorted((entry for r in results.values() for entry in r.entries), key=lambda entry: entry.key)
        accepted = tuple(r.adapter for r in results.values() if r.is_accepted)
        rolling = tuple(key for key, r in results.items() if r.candidate is not None)
        paused = frozenset(key for key, r in results.items() if r.adapter.metadata.is_paused)
        return cls(results, accepted, tuple(entries), rolling, paused)


@dataclass(frozen=True)
class AdapterStatuses:
    """The statuses of all adapters in a pool, also of those that leave it.

    Attributes:
        by_key: by adapter's key.
        new: those that objects do not have yet; of adapters that belong to the pool.
        by_reason: how many have which summary.
    """

    by_key: Mapping[str, WantedStatus]
    new: tuple[WantedStatus, ...]
    counts: AdapterCounts
    by_reason: Mapping[str, int]

    @property
    def has_moved(self) -> bool:
        """Whether pods shall know of another served version, or of its sha256, once the new statuses are written."""
        return any(_served(w.status) != _served(w.adapter.status) for w in self.new)

    @classmethod
    def of(cls, by_key: Mapping[str, WantedStatus], pool: str) -> Self:
        wanted = by_key.values()
        by_reason = Counter(w.status.summary or "" for w in wanted)
        new = tuple(w for w in wanted if w.is_new and w.adapter.pool_key == pool)
        return cls(by_key, new, adapter_counts(w.status for w in wanted), by_reason)


class AdapterDecisions:
    """The decisions about a pool's adapters: all at once where anything is new, and then only about what is new."""

    def __init__(self, fit: Fit = misfit) -> None:
        self._names = Memo(settle_names)
        self._fit = Memo(fit, lambda given: given.key)
        self._check = Memo(self._check_one, lambda given: given.adapter.key)
        self._status = Memo(wanted_status, lambda given: given.result.adapter.key)
        self._stack = Memo(stack_status, lambda given: given.adapter.key)
        self.checked = Memo(self._check_all)
        self.statuses = Memo(self._status_all)

    def _check_one(self, given: CheckInput) -> CheckResult:
        return check_versions(given, self._fit)

    def _check_all(self, given: ChecksInput) -> CheckedAdapters:
        claims, names = self._names(given.names), given.names
        live = (a for a in names.adapters if not a.metadata.is_terminating)
        results = {
            a.key: self._check(
                CheckInput(
                    adapter=a,
                    pool_key=names.key,
                    pool=names.pool,
                    namespace_labels=names.namespace_labels.get(a.metadata.namespace),
                    conflicts=claims.conflicts.get(a.key, _NO_CONFLICTS),
                    outcome=given.outcomes.get(a.key, _NOT_ASKED),
                    base=given.base,
                    url_hosts=given.url_hosts,
                )
            )
            for a in live
        }
        results |= {key: with_members(r, claims, results) for key, r in results.items() if r.adapter.is_stack}
        self._check.keep_only(results)
        self._fit.keep_only({key for r in results.values() for key in r.keys})
        return CheckedAdapters.of(results)

    def _status_all(self, given: StatusesInput) -> AdapterStatuses:
        by_key = {
            key: self._status(_status_input(result, given, is_overdue=key in given.overdue))
            for key, result in given.results.items()
            if not result.adapter.is_stack
        }
        self._status.keep_only(by_key)
        stacks = {
            key: self._stack(stack_input(result, given.pods.pool, by_key, given.now))
            for key, result in given.results.items()
            if result.adapter.is_stack
        }
        self._stack.keep_only(stacks)
        by_key |= stacks
        return AdapterStatuses.of(by_key, given.pods.pool)


def _status_input(result: CheckResult, given: StatusesInput, *, is_overdue: bool) -> StatusInput:
    rival = result.candidate
    return StatusInput(
        result=result,
        pods=given.pods,
        copies=NO_COPIES if result.entry is None else given.copies.get(result.entry.key, NO_COPIES),
        in_pods=_in_pods(result, given.said),
        now=given.now,
        candidate=None if rival is None else _status_input(rival, given, is_overdue=is_overdue),
        elsewhere=given.elsewhere.get(result.adapter.key),
        is_overdue=is_overdue,
    )


def _in_pods(result: CheckResult, said: tuple[PodWords, ...]) -> tuple[InPod, ...]:
    """What the pods say of the version. Words about an earlier generation say nothing about this one."""
    if result.entry is None:
        return ()
    key, generation = result.entry.key, result.entry.generation
    states = ((words, words.adapters.get(key)) for words in said)
    return tuple(InPod(w.pod, w.is_warm, s) for w, s in states if s is not None and s.generation == generation)


def _served(status: AdapterStatus) -> tuple[str, str | None] | None:
    return None if status.serving is None else (status.serving.key, status.serving.sha256)


def adapter_counts(statuses: Iterable[AdapterStatus]) -> AdapterCounts:
    rows = list(statuses)
    return AdapterCounts(
        total=len(rows),
        ready=sum(_is_ready(s) for s in rows),
        failed=sum(_needs_somebody(s) for s in rows),
        copies=sum(s.pods.copies for s in rows if s.pods),
        unplaced=sum(s.pods.unplaced or 0 for s in rows if s.pods),
    )


def _is_ready(status: AdapterStatus) -> bool:
    ready = find(status.conditions, AdapterCondition.READY)
    return ready is not None and ready.is_true


def _needs_somebody(status: AdapterStatus) -> bool:
    """Whether waiting does not help. A suspended adapter is as somebody wants it."""
    if _is_ready(status) or status.summary is None:
        return False
    return traits(status.summary).needs_somebody
