"""What an adapter must pass, in order. The first check that says something decides."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from lorapool_api.kinds.adapter import Adapter, AdapterVersion
from lorapool_api.kinds.conditions import AdapterCondition, Reason
from lorapool_api.kinds.pool import PoolSpec
from lorapool_api.kinds.quantities import human_bytes, quantity_bytes
from lorapool_api.lora.fit import check_rank
from lorapool_api.lora.header import FactsError
from lorapool_api.names import split_full_name
from lorapool_api.rules.bases import is_base
from lorapool_api.wire.state import BaseReport
from lorapool_operator.decide.adapters.fit import FitInput, misfit
from lorapool_operator.decide.adapters.names import Labels, admits
from lorapool_operator.decide.adapters.tenants.quotas import UNBOUNDED, NamespaceShare
from lorapool_operator.decide.allowed_sources import forbidden
from lorapool_operator.seen.desired import DesiredPool
from lorapool_operator.seen.resolution import Outcome, Resolution, Resolving, Unresolved
from lorapool_operator.seen.verdict import Verdict


@dataclass(frozen=True)
class CheckInput:
    """An adapter before the checks, with all that they may read.

    Attributes:
        pool_key: of the pool that it names, or that was found for it, or that it leaves.
        pool: None where there is none of that name.
        namespace_labels: of the adapter's own namespace; None where unknown.
        conflicts: names that it claims and may not have, each with who has it, as `Claims` says it.
        names: those that it has.
        share: what its namespace's quota leaves for it.
        outcome: what its source turned out to be.
        base: the modules of the base; None until a pod has loaded it.
        url_hosts: hosts that sources may name.
        version: which of its versions this is about; None: the adapter was never served, and has but one.
    """

    adapter: Adapter
    pool_key: str
    pool: DesiredPool | None
    namespace_labels: Labels | None
    conflicts: Mapping[str, str]
    outcome: Outcome
    base: BaseReport | None
    url_hosts: tuple[str, ...]
    version: AdapterVersion | None = None
    names: tuple[str, ...] = ()
    share: NamespaceShare = UNBOUNDED

    @property
    def key(self) -> str:
        """In the catalog."""
        return self.adapter.key if self.version is None else self.version.key

    @property
    def spec(self) -> PoolSpec:
        """Of the pool; `pool_exists` comes first, so that the others can rely on it."""
        return self._pool.spec

    @property
    def _pool(self) -> DesiredPool:
        if self.pool is None:
            raise LookupError(self.pool_key)
        return self.pool

    @property
    def resolution(self) -> Resolution:
        """The file; `is_resolved` comes before the checks that ask for it. Raises: LookupError."""
        match self.outcome:
            case Resolution() as resolution:
                return resolution
            case _:
                raise LookupError(self.adapter.key)


Check = Callable[[CheckInput], Verdict | None]


def pool_exists(given: CheckInput) -> Verdict | None:
    if given.pool is not None:
        return None
    return Verdict(
        Reason.POOL_NOT_FOUND,
        f"there is no BaseModelPool {given.pool_key}; create it, and the adapter joins when it comes, "
        "or correct spec.poolRef",
    )


def namespace_is_allowed(given: CheckInput) -> Verdict | None:
    namespace = given.adapter.metadata.namespace
    if given.pool is None or admits(given.pool, namespace, given.namespace_labels):
        return None
    return Verdict(
        Reason.NAMESPACE_NOT_ALLOWED,
        f"pool {given.pool_key} does not take adapters of namespace {namespace} "
        f"(spec.adapters.namespaces.from: {given.spec.adapters.namespaces.from_}); the pool's owner can allow it",
    )


def base_is_the_cards(given: CheckInput) -> Verdict | None:
    """Of a pool that was found by the card: it holds that base model still."""
    if given.adapter.spec.pool_ref is not None or not isinstance(given.outcome, Resolution):
        return None
    named = given.outcome.base_models
    if not named or is_base(given.spec.model, named):
        return None
    return Verdict(Reason.POOL_NOT_FOUND, f"pool {given.pool_key} holds none of the card's {', '.join(named)}")


def has_its_names(given: CheckInput) -> Verdict | None:
    if not given.conflicts:
        return None
    taken = sorted(given.conflicts.items())
    names = "; ".join(f"{name!r} belongs to {_owner(owner, given)}" for name, owner in taken)
    return Verdict(Reason.NAME_CONFLICT, f"{names}; choose other names, or wait until it goes")


def _owner(owner: str, given: CheckInput) -> str:
    if owner == given.pool_key:
        return f"the pool {owner} itself"
    namespace, name = split_full_name(owner)
    return f"adapter {owner}" if name else f"namespace {namespace}, whose adapter had it last, for an hour"


def is_within_quota(given: CheckInput) -> Verdict | None:
    return given.share.refused


def is_not_suspended(given: CheckInput) -> Verdict | None:
    if not given.adapter.spec.suspend:
        return None
    return Verdict(Reason.SUSPENDED, "spec.suspend is true: no pod serves the adapter until it is false again")


def defaults_are_allowed(given: CheckInput) -> Verdict | None:
    defaults, most = given.adapter.spec.defaults, given.spec.serving.limits.steps
    if defaults is None or defaults.steps is None or defaults.steps <= most:
        return None
    return Verdict(
        Reason.INVALID_SPEC,
        f"spec.defaults.steps is {defaults.steps}; pool {given.pool_key} allows a request at most {most} "
        "(spec.serving.limits.steps)",
    )


def source_is_allowed(given: CheckInput) -> Verdict | None:
    return forbidden(given.adapter.spec.source, given.spec, given.url_hosts)


def is_resolved(given: CheckInput) -> Verdict | None:
    match given.outcome:
        case Unresolved(verdict):
            return verdict
        case Resolving(last):
            return last or Verdict(Reason.RESOLVING, f"looking at {given.adapter.spec.source.label}")
        case Resolution():
            return None


def file_is_small_enough(given: CheckInput) -> Verdict | None:
    found, limit = given.resolution.size_bytes, given.spec.adapters.max_file_size
    if found is None or found <= quantity_bytes(limit):
        return None
    return Verdict(
        Reason.FILE_TOO_LARGE,
        f"the file has {human_bytes(found)}; the pool takes at most {limit} (spec.adapters.maxFileSize)",
    )


def file_is_the_pinned_one(given: CheckInput) -> Verdict | None:
    found, pinned = given.resolution.sha256, given.adapter.spec.sha256
    if found is None or pinned is None or found == pinned:
        return None
    return Verdict(
        Reason.CHECKSUM_MISMATCH,
        f"the file has sha256 {found}, spec.sha256 asks for {pinned}; correct the pin or the revision",
    )


def file_is_within_quota(given: CheckInput) -> Verdict | None:
    return given.share.refuses(given.resolution.size_bytes)


def rank_is_low_enough(given: CheckInput) -> Verdict | None:
    facts = given.resolution.facts
    if facts is None:
        return None
    try:
        check_rank(facts, given.spec.adapters.max_rank)
    except FactsError as error:
        return Verdict(error.reason, f"{error.message} (spec.adapters.maxRank)")
    return None


Fit = Callable[[FitInput], Verdict | None]


CHAIN: Final[tuple[tuple[AdapterCondition, Check], ...]] = (
    (AdapterCondition.ACCEPTED, pool_exists),
    (AdapterCondition.ACCEPTED, namespace_is_allowed),
    (AdapterCondition.ACCEPTED, base_is_the_cards),
    (AdapterCondition.ACCEPTED, has_its_names),
    (AdapterCondition.ACCEPTED, is_within_quota),
    (AdapterCondition.ACCEPTED, is_not_suspended),
    (AdapterCondition.ACCEPTED, defaults_are_allowed),
    (AdapterCondition.ACCEPTED, source_is_allowed),
    (AdapterCondition.RESOLVED, is_resolved),
    (AdapterCondition.RESOLVED, file_is_small_enough),
    (AdapterCondition.RESOLVED, file_is_within_quota),
    (AdapterCondition.RESOLVED, file_is_the_pinned_one),
    (AdapterCondition.COMPATIBLE, rank_is_low_enough),
)
_ACCEPTED: Final = tuple(row for row in CHAIN if row[0] is AdapterCondition.ACCEPTED)


@dataclass(frozen=True)
class Finding:
    """The first condition that an adapter does not meet, and why."""

    condition: AdapterCondition
    verdict: Verdict


def first_finding(given: CheckInput, fit: Fit = misfit) -> Finding | None:
    """The finding of the first check that has one, the fit being the last; None: nothing speaks against it.

    A stack has no file: what its members are is looked at when their statuses are known.
    """
    chain = _ACCEPTED if given.adapter.is_stack else CHAIN
    found = ((condition, check(given)) for condition, check in chain)
    first = next((Finding(condition, verdict) for condition, verdict in found if verdict), None)
    if first is not None or given.adapter.is_stack:
        return first
    hub = given.spec.model.source.hub
    verdict = fit(FitInput(given.key, given.resolution, given.base, hub.repo if hub else None))
    return Finding(AdapterCondition.COMPATIBLE, verdict) if verdict else None
