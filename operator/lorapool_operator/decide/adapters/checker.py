"""An adapter after the checks: whether pods shall have it, and as what."""

from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.conditions import AdapterCondition, Reason
from lorapool_api.rules.defaults import first_said
from lorapool_api.wire.catalog import CatalogEntry
from lorapool_api.wire.sources.any import file_source
from lorapool_operator.decide.adapters.checks import CheckInput, Finding, Fit, first_finding
from lorapool_operator.decide.adapters.fit import misfit
from lorapool_operator.decide.adapters.resolved import recognised_defaults
from lorapool_operator.seen.resolution import Resolution
from lorapool_operator.seen.verdict import Verdict

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class CheckResult:
    """What the checks say of an adapter.

    Attributes:
        finding: what speaks against it; None: nothing.
        resolution: its file, as far as it is known; None where the adapter is not accepted.
        entry: what the pods are told; None: they shall not have it.
        members: of a stack, each by its name, with its key; None: the pool has none of that name.
    """

    adapter: Adapter
    finding: Finding | None
    resolution: Resolution | None
    entry: CatalogEntry | None
    members: tuple[tuple[str, str | None], ...] = ()

    @property
    def is_accepted(self) -> bool:
        """Whether its source is worth resolving: it has a file, and nothing that comes before speaks against it."""
        if self.adapter.is_stack:
            return False
        return self.finding is None or self.finding.condition is not AdapterCondition.ACCEPTED


CheckResults = Mapping[str, CheckResult]


def check(given: CheckInput, fit: Fit = misfit) -> CheckResult:
    """The result for one adapter; one that nobody foresaw does not hold up the others."""
    adapter = given.adapter
    try:
        finding = first_finding(given, fit)
    except Exception:
        log.exception("an adapter could not be checked", adapter=adapter.key)
        verdict = Verdict(Reason.INTERNAL_ERROR, "the operator could not check this adapter; its log says why")
        finding = Finding(AdapterCondition.ACCEPTED, verdict)
    is_refused = finding is not None and finding.condition is AdapterCondition.ACCEPTED
    if adapter.is_stack or is_refused or not isinstance(given.outcome, Resolution):
        return CheckResult(adapter, finding, None, None)
    entry = None if _keeps_out(finding) else catalog_entry(adapter, given.outcome)
    return CheckResult(adapter, finding, given.outcome, entry)


def _keeps_out(finding: Finding | None) -> bool:
    """Waiting for a base to check by keeps nothing out: pods fetch the file while they load, and check too."""
    return finding is not None and finding.verdict.reason is not Reason.WAITING_FOR_PODS


def catalog_entry(adapter: Adapter, resolution: Resolution) -> CatalogEntry:
    return CatalogEntry(
        key=adapter.key,
        generation=adapter.metadata.generation,
        source=file_source(adapter.spec.source, resolution.revision, resolution.file, adapter.metadata.namespace),
        sha256=adapter.spec.sha256 or resolution.sha256,
        size_bytes=resolution.size_bytes,
        scale=adapter.spec.scale,
        defaults=None if adapter.spec.defaults is None else first_said(adapter.spec.defaults),
        recognised=recognised_defaults(adapter, resolution),
        pin=adapter.spec.pin,
    )
