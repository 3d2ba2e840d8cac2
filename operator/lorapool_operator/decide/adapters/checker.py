"""An adapter after the checks: whether pods shall have it, in which versions, and as what."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import structlog

from lorapool_api.kinds.adapter import Adapter, AdapterVersion
from lorapool_api.kinds.conditions import AdapterCondition, Reason
from lorapool_api.names import digest_of
from lorapool_api.rules.defaults import first_said
from lorapool_api.wire.catalog import CatalogEntry
from lorapool_api.wire.sources.any import FileSource, NoFileSource, file_source
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
        version: the one that all of this is about; None: the adapter was never served.
        candidate: the same of the version that an edit asks for; None: what is served is what is asked for.
        previous: what the pods are told of the version that was served before.
        members: of a stack, each by its name, with its key; None: the pool has none of that name.
        names: those that it has in the pool.
    """

    adapter: Adapter
    finding: Finding | None
    resolution: Resolution | None
    entry: CatalogEntry | None
    version: AdapterVersion | None = None
    candidate: "CheckResult | None" = None
    previous: CatalogEntry | None = None
    members: tuple[tuple[str, str | None], ...] = ()
    names: tuple[str, ...] = ()

    @property
    def is_accepted(self) -> bool:
        """Whether its source is worth resolving: it has a file, and nothing that comes before speaks against it."""
        if self.adapter.is_stack:
            return False
        asked = self.candidate or self
        return asked.finding is None or asked.finding.condition is not AdapterCondition.ACCEPTED

    @property
    def keys(self) -> tuple[str, ...]:
        """Under which the versions were checked."""
        results = (self,) if self.candidate is None else (self, self.candidate)
        return tuple(r.adapter.key if r.version is None else r.version.key for r in results)

    @property
    def entries(self) -> tuple[CatalogEntry, ...]:
        """What the pods are told of all of its versions."""
        if self.entry is not None and self.candidate is None and self.previous is None:
            return (self.entry,)
        candidate = None if self.candidate is None else self.candidate.entry
        return tuple(entry for entry in (self.entry, candidate, self.previous) if entry is not None)


CheckResults = Mapping[str, CheckResult]


def about(result: CheckResult, adapter: Adapter) -> CheckResult:
    """The result as that of a newer object, of which nothing that is checked is new."""
    if result.adapter is adapter:
        return result
    candidate = None if result.candidate is None else replace(result.candidate, adapter=adapter)
    return replace(result, adapter=adapter, candidate=candidate)


def check(given: CheckInput, fit: Fit = misfit) -> CheckResult:
    """The result for one version of an adapter; one that nobody foresaw does not hold up the others."""
    adapter = given.adapter
    try:
        return _checked(given, first_finding(given, fit))
    except NoFileSource:
        # Of a version that an older operator has served: what the spec asks for takes its place.
        verdict = Verdict(Reason.RESOLVING, f"its file is not known any more: looking at {adapter.spec.source.label}")
        finding = Finding(AdapterCondition.RESOLVED, verdict)
        return CheckResult(adapter, finding, None, None, given.version, names=given.names)
    except Exception:
        log.exception("an adapter could not be checked", adapter=adapter.key)
        verdict = Verdict(Reason.INTERNAL_ERROR, "the operator could not check this adapter; its log says why")
        finding = Finding(AdapterCondition.ACCEPTED, verdict)
        return CheckResult(adapter, finding, None, None, given.version, names=given.names)


def _checked(given: CheckInput, finding: Finding | None) -> CheckResult:
    adapter = given.adapter
    is_refused = finding is not None and finding.condition is AdapterCondition.ACCEPTED
    if adapter.is_stack or is_refused or not isinstance(given.outcome, Resolution):
        return CheckResult(adapter, finding, None, None, given.version, names=given.names)
    entry = None if _keeps_out(finding) else catalog_entry(adapter, given.outcome, given.version)
    return CheckResult(adapter, finding, given.outcome, entry, given.version, names=given.names)


def _keeps_out(finding: Finding | None) -> bool:
    """Waiting for a base to check by keeps nothing out: pods fetch the file while they load, and check too."""
    return finding is not None and finding.verdict.reason is not Reason.WAITING_FOR_PODS


def catalog_entry(adapter: Adapter, resolution: Resolution, version: AdapterVersion | None = None) -> CatalogEntry:
    """What pods are told of the version, or of an adapter that was never served."""
    key = adapter.key if version is None else version.key
    return CatalogEntry(
        key=key,
        generation=adapter.metadata.generation if version is None else version.generation,
        source=_file_source(adapter, resolution, key),
        sha256=adapter.spec.sha256 or resolution.sha256,
        size_bytes=resolution.size_bytes,
        alone=resolution.alone or False,
        scale=adapter.spec.scale,
        defaults=None if adapter.spec.defaults is None else first_said(adapter.spec.defaults),
        recognised=recognised_defaults(adapter, resolution),
        pin=adapter.spec.pin,
    )


def _file_source(adapter: Adapter, resolution: Resolution, key: str) -> FileSource:
    """What a place held before is no part of what it is to hold now, where the source itself does not tell them
    apart."""
    source = file_source(adapter.spec.source, resolution.revision, resolution.file, adapter.metadata.namespace)
    if source.names_one_content or source.is_local:
        return source
    return source.model_copy(update={"content": digest_of(key)})
