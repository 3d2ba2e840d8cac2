"""What an adapter must pass, in order. The first check that says something decides."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final, assert_never
from weakref import WeakKeyDictionary

from lorapool_api.fetch.hosts import is_allowed
from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.conditions import AdapterCondition, Reason
from lorapool_api.kinds.pool import NamespacesFrom, Pool
from lorapool_api.kinds.quantities import human_bytes, quantity_bytes
from lorapool_api.kinds.sources import HubSource, PathSource, UnknownSource, UrlSource
from lorapool_api.lora.fit import check_fits, check_rank
from lorapool_api.lora.header import FactsError
from lorapool_api.rules.claims import Claims
from lorapool_api.wire.state import BaseReport
from lorapool_operator.manifests.path_roots import path_roots
from lorapool_operator.seen.observed import Observed
from lorapool_operator.seen.resolution import Outcome, Resolution, Resolving, Unresolved
from lorapool_operator.seen.verdict import Verdict


@dataclass(frozen=True)
class CheckInput:
    """An adapter before the checks, with what they need to know."""

    adapter: Adapter
    seen: Observed
    claims: Claims
    outcome: Outcome = field(default_factory=Resolving)

    @property
    def pool(self) -> Pool:
        """The pool; `pool_exists` comes first, so that the others can rely on it."""
        if self.seen.pool is None:
            raise LookupError(self.seen.key)
        return self.seen.pool


Check = Callable[[CheckInput], Verdict | None]


def pool_exists(given: CheckInput) -> Verdict | None:
    if given.seen.pool is not None:
        return None
    key = given.seen.key
    return Verdict(
        Reason.POOL_NOT_FOUND,
        f"there is no BaseModelPool {key}; create it, and the adapter joins when it comes, or correct spec.poolRef",
    )


def namespace_is_allowed(given: CheckInput) -> Verdict | None:
    namespace = given.adapter.metadata.namespace
    if admits(given.pool, namespace, given.seen):
        return None
    rule = given.pool.spec.adapters.namespaces
    return Verdict(
        Reason.NAMESPACE_NOT_ALLOWED,
        f"pool {given.pool.key} does not take adapters of namespace {namespace} "
        f"(spec.adapters.namespaces.from: {rule.from_}); the pool's owner can allow it",
    )


def admits(pool: Pool, namespace: str, seen: Observed) -> bool:
    """Whether adapters of the namespace may join the pool."""
    rule = pool.spec.adapters.namespaces
    match rule.from_:
        case NamespacesFrom.ALL:
            return True
        case NamespacesFrom.SAME:
            return namespace == pool.metadata.namespace
        case NamespacesFrom.SELECTOR:
            labels = seen.namespace_labels.get(namespace)
            return rule.selector is not None and labels is not None and rule.selector.matches(dict(labels))


def has_its_names(given: CheckInput) -> Verdict | None:
    taken = given.claims.conflicts.get(given.adapter.key)
    if not taken:
        return None
    names = "; ".join(f"{name!r} belongs to {_owner(owner, given)}" for name, owner in sorted(taken.items()))
    return Verdict(Reason.NAME_CONFLICT, f"{names}; choose other names, or wait until it goes")


def _owner(owner: str, given: CheckInput) -> str:
    return f"the pool {owner} itself" if owner == given.pool.key else f"adapter {owner}"


def is_not_suspended(given: CheckInput) -> Verdict | None:
    if not given.adapter.spec.suspend:
        return None
    return Verdict(Reason.SUSPENDED, "spec.suspend is true: no pod serves the adapter until it is false again")


def source_is_allowed(given: CheckInput) -> Verdict | None:
    source = given.adapter.spec.source
    match source.value:
        case HubSource():
            return None
        case UrlSource(url):
            return None if is_allowed(url, given.seen.url_hosts) else _other_host(source.label, given.seen.url_hosts)
        case PathSource(path):
            paths = path_roots(given.pool)
            return None if paths.allow(path) else _below_no_volume(path, paths.roots)
        case UnknownSource():
            return Verdict(
                Reason.INVALID_SPEC,
                "spec.source is none that this version of the operator knows; upgrade it, or use hub, url or path",
            )
        case other:
            assert_never(other)


def _other_host(label: str, allowed: Collection[str]) -> Verdict:
    hosts = ", ".join(allowed) or "none"
    message = f"{label}: this installation takes files from these hosts only: {hosts} (setting urlHosts)"
    return Verdict(Reason.SOURCE_FORBIDDEN, message)


def _below_no_volume(path: str, roots: Collection[str]) -> Verdict:
    listed = ", ".join(roots) or "none"
    return Verdict(
        Reason.SOURCE_FORBIDDEN,
        f"{path} lies below no volume of the podTemplate that the pool names in spec.adapters.pathVolumes "
        f"(they are mounted at: {listed})",
    )


def is_resolved(given: CheckInput) -> Verdict | None:
    match given.outcome:
        case Unresolved(verdict):
            return verdict
        case Resolving(last):
            return last or Verdict(Reason.RESOLVING, f"looking at {given.adapter.spec.source.label}")
        case Resolution():
            return None


def file_is_small_enough(given: CheckInput) -> Verdict | None:
    found, limit = _resolution(given).size_bytes, given.pool.spec.adapters.max_file_size
    if found is None or found <= quantity_bytes(limit):
        return None
    return Verdict(
        Reason.FILE_TOO_LARGE,
        f"the file has {human_bytes(found)}; the pool takes at most {limit} (spec.adapters.maxFileSize)",
    )


def file_is_the_pinned_one(given: CheckInput) -> Verdict | None:
    found, pinned = _resolution(given).sha256, given.adapter.spec.sha256
    if found is None or pinned is None or found == pinned:
        return None
    return Verdict(
        Reason.CHECKSUM_MISMATCH,
        f"the file has sha256 {found}, spec.sha256 asks for {pinned}; correct the pin or the revision",
    )


def rank_is_low_enough(given: CheckInput) -> Verdict | None:
    facts = _resolution(given).facts
    if facts is None:
        return None
    try:
        check_rank(facts, given.pool.spec.adapters.max_rank)
    except FactsError as error:
        return Verdict(error.reason, f"{error.message} (spec.adapters.maxRank)")
    return None


def fits_the_base(given: CheckInput) -> Verdict | None:
    """By the modules of the base where a pod reported them; by the card where the base has none to report."""
    resolution, base = _resolution(given), given.seen.base
    if resolution.facts is None:
        return resolution.last_misfit  # only the pods see the file: they check
    if base is None:
        return Verdict(Reason.WAITING_FOR_PODS, "checked as soon as a pod of the pool has loaded its base model")
    if base.modules:
        return _misfit(resolution, base)
    return _card_contradicts(resolution, given.pool)


_Misfits = WeakKeyDictionary[Resolution, tuple[BaseReport, Verdict | None]]
# Comparing hundreds of modules takes a millisecond: once per adapter and base is enough.
_MISFITS: Final[_Misfits] = WeakKeyDictionary()


def _misfit(resolution: Resolution, base: BaseReport) -> Verdict | None:
    known = _MISFITS.get(resolution)
    if known is None or known[0] is not base:
        known = _MISFITS[resolution] = (base, _compare(resolution, base))
    return known[1]


def _compare(resolution: Resolution, base: BaseReport) -> Verdict | None:
    try:
        if resolution.facts is not None:
            check_fits(resolution.facts, base.modules)
    except FactsError as error:
        return Verdict(error.reason, error.message)
    return None


def _card_contradicts(resolution: Resolution, pool: Pool) -> Verdict | None:
    hub = pool.spec.model.source.hub
    if hub is None or not resolution.base_models or hub.repo in resolution.base_models:
        return None
    return Verdict(
        Reason.BASE_MODEL_MISMATCH,
        f"its card says that it was trained for {', '.join(resolution.base_models)}; the pool holds {hub.repo}",
    )


def _resolution(given: CheckInput) -> Resolution:
    """The file; `is_resolved` comes before the checks that ask for it."""
    match given.outcome:
        case Resolution() as resolution:
            return resolution
        case _:
            raise LookupError(given.adapter.key)


CHAIN: Final[tuple[tuple[AdapterCondition, Check], ...]] = (
    (AdapterCondition.ACCEPTED, pool_exists),
    (AdapterCondition.ACCEPTED, namespace_is_allowed),
    (AdapterCondition.ACCEPTED, has_its_names),
    (AdapterCondition.ACCEPTED, is_not_suspended),
    (AdapterCondition.ACCEPTED, source_is_allowed),
    (AdapterCondition.RESOLVED, is_resolved),
    (AdapterCondition.RESOLVED, file_is_small_enough),
    (AdapterCondition.RESOLVED, file_is_the_pinned_one),
    (AdapterCondition.COMPATIBLE, rank_is_low_enough),
    (AdapterCondition.COMPATIBLE, fits_the_base),
)


@dataclass(frozen=True)
class Finding:
    """The first condition that an adapter does not meet, and why."""

    condition: AdapterCondition
    verdict: Verdict


def first_finding(given: CheckInput) -> Finding | None:
    """The finding of the first check that has one; None: nothing speaks against the adapter."""
    found = ((condition, check(given)) for condition, check in CHAIN)
    return next((Finding(condition, verdict) for condition, verdict in found if verdict), None)


def needs_resolving(given: CheckInput) -> bool:
    """Whether its source is worth a look: nothing before it speaks against the adapter."""
    before = (check for condition, check in CHAIN if condition is AdapterCondition.ACCEPTED)
    return not any(check(given) for check in before)
