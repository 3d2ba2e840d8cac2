"""The statuses of all adapters of a pool, from pass to pass."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Self

from lorapool_api.kinds.adapter import AdapterStatus
from lorapool_api.kinds.pool import AdapterCounts
from lorapool_api.names import adapter_of
from lorapool_api.schema import SharedFields
from lorapool_api.wire.state import AdapterState
from lorapool_operator.decide.adapters.adapter_status import WantedStatus, wanted_status
from lorapool_operator.decide.adapters.checker import CheckResult, CheckResults
from lorapool_operator.decide.adapters.in_pods.status_input import InPod, StatusInput
from lorapool_operator.decide.adapters.incremental.checked import CheckedAdapters
from lorapool_operator.decide.adapters.incremental.counted import Tally
from lorapool_operator.decide.adapters.pool_pods import PoolPods
from lorapool_operator.decide.adapters.rollout.takeover import is_overdue
from lorapool_operator.decide.adapters.stacks import stack_input, stack_status
from lorapool_operator.decide.memo import Memo
from lorapool_operator.placement.place import NO_COPIES, CopyCount
from lorapool_operator.seen.changed import changed_keys, differing_keys
from lorapool_operator.seen.handover import ServedElsewhere
from lorapool_operator.seen.observed import Observed


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
    def of(cls, checked: CheckedAdapters, copies: Mapping[str, CopyCount], seen: Observed) -> Self:
        said = tuple(PodWords(p.name, p.key in seen.warm, report.adapters) for p, report in seen.running_pods)
        rolling = (checked.results[key].adapter for key in checked.rolling)
        overdue = frozenset(adapter.key for adapter in rolling if is_overdue(adapter.status.candidate, seen.now))
        return cls(checked.results, copies, PoolPods.of(seen), said, seen.elsewhere, overdue, seen.now)

    def changed_since(self, before: Self) -> set[str]:
        """Keys of adapters of whose statuses some part may be another."""
        entries = changed_keys(before.copies, self.copies) | _changed_words(before.said, self.said)
        moving = differing_keys(before.elsewhere, self.elsewhere)
        others = {adapter_of(key) for key in entries} | moving | (before.overdue ^ self.overdue)
        return others | changed_keys(before.results, self.results)


def _changed_words(before: Iterable[PodWords], now: Iterable[PodWords]) -> set[str]:
    """Keys of the entries of which some pod says something else than before, or is another pod, or warm now."""
    keys: set[str] = set()
    gone = {words.pod: words for words in before}
    for words in now:
        old = gone.pop(words.pod, None)
        if old is not None and old.is_warm == words.is_warm:
            keys |= changed_keys(old.adapters, words.adapters)
        else:
            keys |= words.adapters.keys() | (old.adapters.keys() if old else set())
    return keys.union(*(words.adapters for words in gone.values()))


@dataclass(frozen=True)
class AdapterStatuses:
    """The statuses of all adapters in a pool, also of those that leave it.

    Attributes:
        by_key: by adapter's key.
        new: those that objects do not have yet, in order of their keys; of adapters that belong to the pool.
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


class StatusDecisions:
    """The statuses of a pool's adapters: of those alone of which something is new, if that concerns not all."""

    def __init__(self) -> None:
        self._status = Memo(self._wanted, lambda given: given.result.adapter.key)
        self._stack = Memo(stack_status, lambda given: given.adapter.key)
        self._before: StatusesInput | None = None
        self._stacks: set[str] = set()
        self._by_key: dict[str, WantedStatus] = {}
        self._new: dict[str, WantedStatus] = {}
        self._tally = Tally()
        self._fields = SharedFields()
        self._made: AdapterStatuses | None = None

    def __call__(self, given: StatusesInput) -> AdapterStatuses:
        before = self._before
        if before is None or before.pods != given.pods:
            keys = {*self._by_key, *given.results}
        else:
            keys = given.changed_since(before)
        if keys or self._made is None:
            self._made = self._decided(given, keys)
        self._before = given
        return self._made

    def _decided(self, given: StatusesInput, keys: Collection[str]) -> AdapterStatuses:
        self._by_key = dict(self._by_key)
        for key in keys:
            result = given.results.get(key)
            is_file = result is not None and not result.adapter.is_stack
            (self._stacks.discard if result is None or is_file else self._stacks.add)(key)
            if result is not None and is_file:
                wanted = self._status(_status_input(result, given, is_overdue=key in given.overdue))
                self._set(key, wanted, given.pods.pool)
            elif result is None or key not in self._stack:
                self._set(key, None, given.pods.pool)
                self._status.forget(key)
            if result is None or is_file:
                self._stack.forget(key)
        # Their members may be among those that changed.
        for key in self._stacks:
            asked = stack_input(given.results[key], given.pods.pool, self._by_key, given.now)
            self._set(key, self._stack(asked), given.pods.pool)
        new = tuple(self._new[key] for key in sorted(self._new))
        return AdapterStatuses(self._by_key, new, self._tally.counts, self._tally.by_reason)

    def _wanted(self, given: StatusInput) -> WantedStatus:
        wanted = wanted_status(replace(given))  # what a copy has worked out goes with it: `given` is remembered
        if wanted.is_new:
            self._fields.share(wanted.status)  # there are thousands
        return wanted

    def _set(self, key: str, wanted: WantedStatus | None, pool: str) -> None:
        before = self._by_key.pop(key, None) if wanted is None else self._by_key.get(key)
        if wanted is before:
            return
        self._tally.replace(before.status if before else None, wanted.status if wanted else None)
        self._new.pop(key, None)
        if wanted is not None:
            self._by_key[key] = wanted
            if wanted.is_new and wanted.adapter.pool_key == pool:
                self._new[key] = wanted


def _status_input(result: CheckResult, given: StatusesInput, *, is_overdue: bool) -> StatusInput:
    rival = result.candidate
    return StatusInput(
        result=result,
        pods=given.pods,
        copies=NO_COPIES if result.entry is None else given.copies.get(result.entry.key, NO_COPIES),
        in_pods=tuple(_in_pods(result, given.said)),
        now=given.now,
        candidate=None if rival is None else _status_input(rival, given, is_overdue=is_overdue),
        elsewhere=given.elsewhere.get(result.adapter.key),
        is_overdue=is_overdue,
    )


def _in_pods(result: CheckResult, said: tuple[PodWords, ...]) -> Iterator[InPod]:
    """What the pods say of the version. Words about an earlier generation say nothing about this one."""
    if result.entry is None:
        return
    key, generation = result.entry.key, result.entry.generation
    for words in said:
        state = words.adapters.get(key)
        if state is not None and state.generation == generation:
            yield InPod(words.pod, words.is_warm, state)


def _served(status: AdapterStatus) -> tuple[str, str | None] | None:
    return None if status.serving is None else (status.serving.key, status.serving.sha256)
