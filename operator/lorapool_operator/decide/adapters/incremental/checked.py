"""The checks of all adapters of a pool, from pass to pass."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Self, TypeVar

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.status.names import KeptName
from lorapool_api.rules.claims import NO_CLAIMS, Claims
from lorapool_api.schema import SharedFields
from lorapool_api.wire.catalog import CatalogEntry
from lorapool_api.wire.state import BaseReport
from lorapool_operator.decide.adapters.checker import CheckResult, CheckResults, about
from lorapool_operator.decide.adapters.checks import CheckInput, Fit
from lorapool_operator.decide.adapters.incremental.claimed import NameDecisions
from lorapool_operator.decide.adapters.names import NamesInput
from lorapool_operator.decide.adapters.rollout.version_checks import check_versions
from lorapool_operator.decide.adapters.stacks import with_members
from lorapool_operator.decide.adapters.tenants.quotas import NamespaceShare, QuotaInput, Shares
from lorapool_operator.decide.memo import Memo
from lorapool_operator.seen.changed import changed_keys, differing_keys
from lorapool_operator.seen.desired import DesiredPool
from lorapool_operator.seen.finalizer import has_finalizer, is_same_but_marked
from lorapool_operator.seen.observed import Observed
from lorapool_operator.seen.resolution import Outcome, Resolving

T = TypeVar("T")
_NO_CONFLICTS: Final[Mapping[str, str]] = {}
_NOT_ASKED: Final = Resolving()


@dataclass(frozen=True)
class ChecksInput:
    """What the results of all adapters depend on. `adapters` and `outcomes` are by adapter's key."""

    names: NamesInput
    adapters: Mapping[str, Adapter]
    outcomes: Mapping[str, Outcome]
    base: BaseReport | None
    url_hosts: tuple[str, ...]

    @classmethod
    def of(cls, seen: Observed, base: BaseReport | None, kept: tuple[KeptName, ...] = ()) -> Self:
        pool = DesiredPool.of(seen.pool) if seen.pool else None
        names = NamesInput(seen.key, pool, seen.adapters, seen.namespace_labels, kept)
        return cls(names, seen.by_key, seen.outcomes, base, seen.url_hosts)

    def concerns_all(self, before: Self) -> bool:
        """Whether something is new that any result may depend on."""
        names, was = self.names, before.names
        return (self.base, self.url_hosts, names.key, names.pool, names.namespace_labels) != (
            before.base, before.url_hosts, was.key, was.pool, was.namespace_labels,
        )  # fmt: skip


@dataclass(frozen=True)
class CheckedAdapters:
    """What the checks say of all adapters; those that are being deleted are left out, but for `terminating`.

    Attributes:
        results: by adapter's key.
        accepted: adapters whose sources are worth resolving, by key.
        entries: what the pods shall have, in order of the keys.
        rolling: keys of those that are to be served in another version.
        paused: keys of those about which nothing is to be done.
        unmarked: adapters that pods shall have and that lack our finalizer, by key.
        terminating: adapters that are being deleted and have it, by key.
        claims: who has which name.
    """

    results: CheckResults = field(default_factory=dict)
    accepted: Mapping[str, Adapter] = field(default_factory=dict)
    entries: tuple[CatalogEntry, ...] = ()
    rolling: frozenset[str] = frozenset()
    paused: frozenset[str] = frozenset()
    unmarked: Mapping[str, Adapter] = field(default_factory=dict)
    terminating: Mapping[str, Adapter] = field(default_factory=dict)
    claims: Claims = NO_CLAIMS


class CheckDecisions:
    """The results of a pool's adapters: of those alone about which something is new, if that concerns not all."""

    def __init__(self, fit: Fit) -> None:
        self._names = NameDecisions()
        self._fit = Memo(fit, lambda given: given.key)
        self._check = Memo(self._check_one, lambda given: given.adapter.key)
        self._before: ChecksInput | None = None
        self._shares = Shares()
        self._stacks: set[str] = set()
        self._entries: dict[str, CatalogEntry] = {}
        self._fields = SharedFields()
        self._made = CheckedAdapters()

    def __call__(self, given: ChecksInput) -> CheckedAdapters:
        before, adapters = self._before, self._before.adapters if self._before else {}
        keys = changed_keys(adapters, given.adapters)
        claims = self._names(given.names, ((adapters.get(key), given.adapters.get(key)) for key in keys))
        if before is None or given.concerns_all(before):
            keys |= given.adapters.keys()
        else:
            keys |= changed_keys(before.outcomes, given.outcomes)
            keys |= _renamed(self._made.claims, claims)
        if keys:
            live = (a for a in given.adapters.values() if not a.metadata.is_terminating)
            keys |= self._shares.changed_by(QuotaInput(given.names, live, given.outcomes))
            self._made = self._decided(given, keys, claims)
        if self._made.claims is not claims:
            self._made = replace(self._made, claims=claims)
        self._before = given
        return self._made

    def _decided(self, given: ChecksInput, keys: set[str], claims: Claims) -> CheckedAdapters:
        """With the results under these keys made anew, and those of stacks, whose members may be others."""
        results = dict(self._made.results)
        for key in sorted(keys):
            adapter = given.adapters.get(key)
            if adapter is None or adapter.metadata.is_terminating:
                results.pop(key, None)
                self._stacks.discard(key)
                continue
            results[key] = self._result(_check_input(given, adapter, claims, self._shares.of(key)))
            (self._stacks.add if adapter.is_stack else self._stacks.discard)(key)
        for key in self._stacks:
            results[key] = _kept(self._made.results.get(key), with_members(results[key], claims, results))
        return self._after(given, keys | self._stacks, results)

    def _result(self, given: CheckInput) -> CheckResult:
        """The result; it is not made anew because of our own finalizer, which no check reads."""
        adapter, before = given.adapter, self._check.last(given.adapter.key)
        is_marked = before is not None and is_same_but_marked(before.adapter, adapter)
        if before is None or not is_marked:
            return self._check(given)
        return about(self._check(replace(given, adapter=before.adapter)), adapter)

    def _check_one(self, given: CheckInput) -> CheckResult:
        result = check_versions(given, self._fit)
        for kept in (*result.entries, result.version):
            self._fields.share(kept)  # there are thousands
        return result

    def _after(self, given: ChecksInput, keys: Collection[str], results: CheckResults) -> CheckedAdapters:
        """What is known of all, where these keys may have other results than before."""
        last = self._made
        accepted, rolling, paused = dict(last.accepted), set(last.rolling), set(last.paused)
        unmarked, terminating = dict(last.unmarked), dict(last.terminating)
        has_other_entries = has_other_results = False
        for key in keys:
            adapter, result, old = given.adapters.get(key), results.get(key), last.results.get(key)
            if result is not old:
                has_other_results, has_other_entries = True, self._take_entries(old, result) or has_other_entries
            _set(accepted, key, adapter if result is not None and result.is_accepted else None)
            (rolling.add if result is not None and result.candidate is not None else rolling.discard)(key)
            (paused.add if result is not None and result.adapter.metadata.is_paused else paused.discard)(key)
            _set(unmarked, key, adapter if _lacks_finalizer(result, given.names.key) else None)
            _set(terminating, key, adapter if _is_held_up(adapter) else None)
            if result is None:
                self._check.forget(key)
        entries = tuple(self._entries[key] for key in sorted(self._entries)) if has_other_entries else last.entries
        if not has_other_results:
            results = last.results
        return CheckedAdapters(results, accepted, entries, frozenset(rolling), frozenset(paused), unmarked, terminating)

    def _take_entries(self, old: CheckResult | None, new: CheckResult | None) -> bool:
        """Put the entries of the one in the place of the other's; whether they are any others."""
        before = {entry.key: entry for entry in old.entries} if old else {}
        now = {entry.key: entry for entry in new.entries} if new else {}
        for version in {*(old.keys if old else ())} - {*(new.keys if new else ())}:
            self._fit.forget(version)
        if before == now:
            return False
        for key in before.keys() - now.keys():
            self._entries.pop(key, None)
        self._entries |= {key: _kept(self._entries.get(key), entry) for key, entry in now.items()}
        return True


def _renamed(before: Claims, now: Claims) -> set[str]:
    """Keys of adapters that have other names than before, or lost or got one that they want."""
    if before is now:
        return set()
    names = differing_keys(before.owners, now.owners)
    owners = {claims.owners.get(name) for claims in (before, now) for name in names}
    return differing_keys(before.conflicts, now.conflicts) | {key for key in owners if key is not None}


def _check_input(given: ChecksInput, adapter: Adapter, claims: Claims, share: NamespaceShare) -> CheckInput:
    names = given.names
    return CheckInput(
        adapter=adapter,
        pool_key=names.key,
        pool=names.pool,
        namespace_labels=names.namespace_labels.get(adapter.metadata.namespace),
        conflicts=claims.conflicts.get(adapter.key, _NO_CONFLICTS),
        outcome=given.outcomes.get(adapter.key, _NOT_ASKED),
        base=given.base,
        url_hosts=given.url_hosts,
        names=claims.names_of(adapter),
        share=share,
    )


def _lacks_finalizer(result: CheckResult | None, pool: str) -> bool:
    if result is None or result.entry is None:
        return False
    return not has_finalizer(result.adapter) and result.adapter.pool_key == pool


def _is_held_up(adapter: Adapter | None) -> bool:
    return adapter is not None and adapter.metadata.is_terminating and has_finalizer(adapter)


def _set(rows: dict[str, Adapter], key: str, adapter: Adapter | None) -> None:
    if adapter is None:
        rows.pop(key, None)
    else:
        rows[key] = adapter


def _kept(before: T | None, now: T) -> T:
    """The one before where it is equal: whoever compares objects sees nothing new."""
    return before if before is not None and before == now else now
