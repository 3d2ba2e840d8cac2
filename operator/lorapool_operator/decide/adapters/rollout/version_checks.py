"""The checks of an adapter's versions: the one that is served, the one that its spec asks for, the one before.

The served version is left alone for as long as the spec may mean its file. What else the spec asks for is a candidate,
checked on its own: nothing that is found about it concerns the served one.
"""

from dataclasses import replace

from lorapool_api.kinds.adapter import AdapterVersion
from lorapool_api.kinds.conditions import Reason
from lorapool_api.wire.catalog import CatalogEntry
from lorapool_operator.decide.adapters.checker import CheckResult, check
from lorapool_operator.decide.adapters.checks import CheckInput, Fit
from lorapool_operator.decide.adapters.fit import misfit
from lorapool_operator.decide.versions import (
    as_version,
    is_asked_for,
    is_same_file,
    last_misfit,
    refresh_of,
    resolution_of,
    version_of,
)
from lorapool_operator.seen.resolution import Outcome, Resolution, Resolving, Unresolved


def check_versions(given: CheckInput, fit: Fit = misfit) -> CheckResult:
    """The result for an adapter, with those of its other versions; until one of them was served there is but one."""
    served = given.adapter.status.serving
    if served is None or given.adapter.is_stack:
        return check(given, fit)
    asked = _asked(given, served)
    if asked is None:
        served = _as_asked(served, given)
    result = _check(given, served, _outcome(given, served, is_asked=asked is None), fit)
    candidate = None if asked is None else _check(given, asked, given.outcome, fit)
    keys = {served.key, *([asked.key] if asked else ())}
    return replace(result, candidate=candidate, previous=_previous(given, keys, fit))


def _asked(given: CheckInput, served: AdapterVersion) -> AdapterVersion | None:
    """The version that the spec asks for; None: it is the one that is served."""
    adapter, found = given.adapter, given.outcome
    if not isinstance(found, Resolution):
        if is_asked_for(served, adapter) and not (adapter.spec.follow and _is_refused(found)):
            return None
        generation = adapter.metadata.generation
        return AdapterVersion(source=adapter.spec.source, refresh=refresh_of(adapter), generation=generation)
    if is_same_file(served, adapter, found):
        return None
    previous = adapter.status.previous
    if previous is not None and is_same_file(previous, adapter, found):
        return _as_asked(previous, given)
    asked = version_of(adapter, found)
    return None if asked.key == served.key else _remembered(asked, given)


def _is_refused(found: Outcome) -> bool:
    """Whether what a branch has moved to cannot be used, as far as is known."""
    return isinstance(found, Unresolved) or (isinstance(found, Resolving) and found.last is not None)


def _remembered(asked: AdapterVersion, given: CheckInput) -> AdapterVersion:
    """With what pods have found in its file. Once it is verified an edit of anything else asks for no other try."""
    before = given.adapter.status.candidate
    if before is None or before.key != asked.key:
        return asked
    generation = asked.generation if before.verified_time is None else before.generation
    return asked.model_copy(update={"sha256": asked.sha256 or before.sha256, "generation": generation})


def _as_asked(version: AdapterVersion, given: CheckInput) -> AdapterVersion:
    """The version with the source as it is written now. While it is not served, an edit asks for another try."""
    adapter, found = given.adapter, given.outcome
    update: dict[str, object] = {}
    if isinstance(found, Resolution):
        update = {"source": adapter.spec.source, "refresh": found.refresh, "tag": found.tag or version.tag}
    if not adapter.is_ready:
        update["generation"] = adapter.metadata.generation
    return version.model_copy(update=update)


def _outcome(given: CheckInput, served: AdapterVersion, *, is_asked: bool) -> Outcome:
    """What is known of the served version: what the resolver holds, or as it was when it was resolved."""
    found = given.outcome
    if is_asked and isinstance(found, Resolution) and found.facts is not None:
        return found
    against = last_misfit(as_version(given.adapter, served))
    if not is_asked and against is not None and against.reason == Reason.WAITING_FOR_PODS:
        against = None  # nobody resolves it anew, so nothing would end the wait: pods check the fit too
    return resolution_of(served, against)


def _check(given: CheckInput, version: AdapterVersion, outcome: Outcome, fit: Fit) -> CheckResult:
    adapter = as_version(given.adapter, version)
    result = check(replace(given, adapter=adapter, outcome=outcome, version=version), fit)
    return replace(result, adapter=given.adapter)


def _previous(given: CheckInput, keys: set[str], fit: Fit) -> CatalogEntry | None:
    """Pods keep it as long as they have room; nobody brings it ahead of requests."""
    previous = given.adapter.status.previous
    if previous is None or previous.key in keys:
        return None
    entry = _check(given, previous, resolution_of(previous), fit).entry
    return None if entry is None else entry.model_copy(update={"pin": False})
