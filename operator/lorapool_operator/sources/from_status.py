"""What an adapter's status says of its source, taken over after a restart."""

from lorapool_api.kinds.adapter import Adapter, CandidateVersion
from lorapool_api.kinds.conditions import AdapterCondition, Subject, find, traits
from lorapool_api.kinds.sources import AdapterSource
from lorapool_operator.decide.versions import is_asked_for, last_misfit, refresh_of, resolution_of
from lorapool_operator.seen.resolution import Outcome, Resolution, Resolving
from lorapool_operator.seen.verdict import Verdict


def outcome_from_status(adapter: Adapter) -> Outcome:
    """What an earlier life of the operator found for the source, the pin and the annotation as they are now.

    A version that was served before is what it was: it is not resolved again.
    """
    status = adapter.status
    if adapter.spec.source.value.is_seen_by_pods_only:
        return Resolution(refresh=refresh_of(adapter))
    if status.serving is None:
        return _of_generation(adapter)
    rival = status.candidate
    is_asked = rival is not None and (rival.source, rival.refresh) == (adapter.spec.source, refresh_of(adapter))
    if rival is not None and is_asked and rival.size_bytes is None and adapter.spec.follow:
        return Resolving(Verdict(rival.reason, rival.message))  # it was followed to something that is refused
    for version in (rival, status.serving, status.previous):
        if version is None or version.size_bytes is None or not is_asked_for(version, adapter):
            continue
        if isinstance(version, CandidateVersion):
            return resolution_of(version, _misfit(version))
        return resolution_of(version, last_misfit(adapter) if version is status.serving else None)
    return Resolving(Verdict(rival.reason, rival.message)) if rival is not None and is_asked else Resolving()


def _misfit(candidate: CandidateVersion) -> Verdict | None:
    is_misfit = traits(candidate.reason).subject is Subject.FIT
    return Verdict(candidate.reason, candidate.message) if is_misfit else None


def _of_generation(adapter: Adapter) -> Outcome:
    """Of an adapter that was never served: what was found about this very generation."""
    status, generation = adapter.status, adapter.metadata.generation
    condition = find(status.conditions, AdapterCondition.RESOLVED)
    if condition is None or condition.observed_generation != generation:
        return Resolving()
    known = status.resolved
    if condition.is_true and known is not None and known.size_bytes is not None:
        return Resolution(
            revision=known.revision,
            file=known.file,
            sha256=known.sha256 if adapter.spec.source.value.tells_sha256 else None,
            size_bytes=known.size_bytes,
            rank=known.rank,
            targets=known.targets,
            format=known.format,
            networks=known.networks,
            trigger_words=known.trigger_words,
            defaults=known.defaults,
            base_models=known.base_models,
            thumbnail=known.thumbnail,
            alone=known.alone,
            last_misfit=last_misfit(adapter),
            refresh=refresh_of(adapter),
        )
    return Resolving() if condition.is_true else Resolving(Verdict(condition.reason, condition.message))


def is_open(outcome: Outcome, adapter: Adapter) -> bool:
    """Whether what an earlier life of the operator left is no answer to what is asked now."""
    is_found = isinstance(outcome, Resolution) and outcome.last_misfit is None
    return not is_found or is_asked_anew(outcome, adapter)


def is_asked_anew(outcome: Outcome, adapter: Adapter) -> bool:
    """Whether the annotation has another value than the one that was answered."""
    return isinstance(outcome, Resolution) and outcome.refresh != refresh_of(adapter)


def at_commit(source: AdapterSource, outcome: Outcome) -> AdapterSource:
    """The source at the commit that is known: another look at a file that is served must not find another one."""
    if source.hub is None or not isinstance(outcome, Resolution) or outcome.revision is None:
        return source
    update = {"revision": outcome.revision, "file": outcome.file}
    return source.model_copy(update={"hub": source.hub.model_copy(update=update)})
