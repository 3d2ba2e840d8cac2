"""Every adapter of a pool before the checks: who may be in the catalog, and what is wrong with the others."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from operator import is_
from typing import Final, Generic, TypeVar, assert_never

import structlog

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.conditions import AdapterCondition, Reason
from lorapool_api.kinds.sources import HubSource, PathSource, UnknownSource, UrlSource
from lorapool_api.rules.claims import Claims, settle
from lorapool_api.wire.catalog import CatalogEntry, FileSource, HubFile, PathFile, UrlFile
from lorapool_api.wire.state import BaseReport
from lorapool_operator.decide.checks import CheckInput, Finding, admits, first_finding, needs_resolving
from lorapool_operator.seen.observed import Observed
from lorapool_operator.seen.resolution import Outcome, Resolution, Resolving
from lorapool_operator.seen.verdict import Verdict

log = structlog.get_logger(__name__)

T = TypeVar("T")

_NOT_ASKED: Final = Resolving()


@dataclass(frozen=True)
class CheckResult:
    """What the checks say of an adapter.

    Attributes:
        finding: what speaks against it; None: nothing.
        resolution: its file, as far as it is known.
        entry: what the pods are told; None: they shall not have it.
    """

    adapter: Adapter
    finding: Finding | None
    resolution: Resolution | None
    entry: CatalogEntry | None


@dataclass(frozen=True)
class _Key:
    """What a result depends on, besides the outcome of looking at the source."""

    adapter: Adapter
    pool: tuple[str, int] | None
    base: BaseReport | None
    conflicts: Mapping[str, str] | None
    labels: Mapping[str, str] | None

    @classmethod
    def of(cls, adapter: Adapter, seen: Observed, claims: Claims) -> "_Key":
        labels = seen.namespace_labels.get(adapter.metadata.namespace)
        return cls(adapter, _spec_of(seen), seen.base, claims.conflicts.get(adapter.key), labels)

    def is_same(self, other: "_Key") -> bool:
        return (
            self.adapter is other.adapter
            and self.pool == other.pool
            and self.base is other.base
            and self.conflicts == other.conflicts
            and self.labels == other.labels
        )


def _spec_of(seen: Observed) -> tuple[str, int] | None:
    """No check reads the pool's status, which changes all the time; a spec that changes has another generation."""
    return (seen.pool.metadata.uid, seen.pool.metadata.generation) if seen.pool else None


def settle_names(seen: Observed) -> Claims:
    """Who has which name. Adapters that may not join claim nothing; one that is being deleted keeps its names."""
    pool = seen.pool
    if pool is None:
        return Claims(seen.key)
    return settle(pool, (a for a in seen.adapters if admits(pool, a.metadata.namespace, seen)))


class _Memo(Generic[T]):
    """The last result, for as long as it would be made of the very same objects: most passes change few adapters."""

    def __init__(self) -> None:
        self._last: tuple[object, tuple[object, ...], T] | None = None

    def get(self, spec: object, inputs: tuple[object, ...], make: Callable[[], T]) -> T:
        """
        Args:
            spec: compared by value.
            inputs: compared by identity, so that thousands take microseconds.
        """
        last = self._last
        if last is None or last[0] != spec or len(last[1]) != len(inputs) or not all(map(is_, last[1], inputs)):
            last = self._last = (spec, inputs, make())
        return last[2]


class AdapterChecker:
    """CheckResults of a pool's adapters, from pass to pass.

    A result depends on the adapter, on its source's outcome and on what stands in `_Key`; where none of these
    is new, the old one is returned, the same object.
    """

    def __init__(self) -> None:
        self._claims = _Memo[Claims]()
        self._live = _Memo[tuple[Adapter, ...]]()
        self._all = _Memo[dict[str, CheckResult]]()
        self._accepted: dict[str, tuple[_Key, bool]] = {}
        self._checked: dict[str, tuple[_Key, Outcome, CheckResult]] = {}

    def names(self, seen: Observed) -> Claims:
        """Who has which name; the same object for as long as nothing that it depends on changes."""
        return self._claims.get(_spec_of(seen), (seen.namespace_labels, *seen.adapters), lambda: settle_names(seen))

    def to_resolve(self, seen: Observed, claims: Claims) -> tuple[Adapter, ...]:
        """The adapters whose source is worth a look: nothing that comes before speaks against them."""
        inputs = (claims, seen.namespace_labels, *seen.adapters)
        return self._live.get(_spec_of(seen), inputs, lambda: self._to_resolve(seen, claims))

    def all(self, seen: Observed, claims: Claims) -> dict[str, CheckResult]:
        """By adapter's key; those that are being deleted are left out. The same object where nothing is new."""
        inputs = (claims, seen.base, seen.namespace_labels, *seen.adapters, *seen.outcomes.values())
        return self._all.get(_spec_of(seen), inputs, lambda: self._check_all(seen, claims))

    def _to_resolve(self, seen: Observed, claims: Claims) -> tuple[Adapter, ...]:
        live = [a for a in seen.adapters if not a.metadata.is_terminating]
        self._accepted = {a.key: self._is_accepted(a, seen, claims) for a in live}
        return tuple(a for a in live if self._accepted[a.key][1])

    def _check_all(self, seen: Observed, claims: Claims) -> dict[str, CheckResult]:
        live = (a for a in seen.adapters if not a.metadata.is_terminating)
        self._checked = {a.key: self._check(a, seen, claims) for a in live}
        return {key: result for key, (_, _, result) in self._checked.items()}

    def _is_accepted(self, adapter: Adapter, seen: Observed, claims: Claims) -> tuple[_Key, bool]:
        key, known = _Key.of(adapter, seen, claims), self._accepted.get(adapter.key)
        if known is not None and known[0].is_same(key):
            return known
        return key, needs_resolving(CheckInput(adapter, seen, claims))

    def _check(self, adapter: Adapter, seen: Observed, claims: Claims) -> tuple[_Key, Outcome, CheckResult]:
        outcome = seen.outcomes.get(adapter.key, _NOT_ASKED)
        key, known = _Key.of(adapter, seen, claims), self._checked.get(adapter.key)
        if known is not None and known[1] is outcome and known[0].is_same(key):
            return known
        return key, outcome, _check(adapter, seen, claims)


def _check(adapter: Adapter, seen: Observed, claims: Claims) -> CheckResult:
    outcome = seen.outcomes.get(adapter.key, _NOT_ASKED)
    resolution = outcome if isinstance(outcome, Resolution) else None
    try:
        finding = first_finding(CheckInput(adapter, seen, claims, outcome))
    except Exception:  # one adapter that nobody foresaw must not hold up the others
        log.exception("an adapter could not be checked", adapter=adapter.key)
        verdict = Verdict(Reason.INTERNAL_ERROR, "the operator could not check this adapter; its log says why")
        finding = Finding(AdapterCondition.ACCEPTED, verdict)
    entry = catalog_entry(adapter, resolution) if resolution and not _keeps_out(finding) else None
    return CheckResult(adapter, finding, resolution, entry)


def _keeps_out(finding: Finding | None) -> bool:
    """Waiting for a base to check by keeps nothing out: pods fetch the file while they load, and check too."""
    return finding is not None and finding.verdict.reason is not Reason.WAITING_FOR_PODS


def catalog_entry(adapter: Adapter, resolution: Resolution) -> CatalogEntry:
    return CatalogEntry(
        key=adapter.key,
        generation=adapter.metadata.generation,
        source=_file_source(adapter, resolution),
        sha256=adapter.spec.sha256 or resolution.sha256,
        size_bytes=resolution.size_bytes,
        scale=adapter.spec.scale,
        pin=adapter.spec.pin,
    )


def _file_source(adapter: Adapter, resolution: Resolution) -> FileSource:
    match adapter.spec.source.value:
        case HubSource(repo=repo) if resolution.revision and resolution.file:
            return HubFile(repo=repo, revision=resolution.revision, file=resolution.file)
        case UrlSource(url):
            return UrlFile(url=url)
        case PathSource(path):
            return PathFile(path=path)
        case HubSource() | UnknownSource():
            raise ValueError(f"{adapter.key} has no source that its resolution fits")
        case other:
            assert_never(other)


def entries(results: Mapping[str, CheckResult]) -> Iterable[CatalogEntry]:
    return (j.entry for j in results.values() if j.entry is not None)
