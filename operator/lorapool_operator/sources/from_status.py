"""What an adapter's status says of its source, taken over after a restart."""

from lorapool_api.kinds.adapter import Adapter
from lorapool_api.kinds.conditions import AdapterCondition, find
from lorapool_operator.seen.resolution import Outcome, Resolution, Resolving
from lorapool_operator.seen.verdict import Verdict


def outcome_from_status(adapter: Adapter) -> Outcome:
    """What an earlier life of the operator found about this very generation."""
    status, generation = adapter.status, adapter.metadata.generation
    if adapter.spec.source.value.is_seen_by_pods_only:
        return Resolution()
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
            last_misfit=_last_misfit(adapter),
        )
    return Resolving() if condition.is_true else Resolving(Verdict(condition.reason, condition.message))


def _last_misfit(adapter: Adapter) -> Verdict | None:
    fit = find(adapter.status.conditions, AdapterCondition.COMPATIBLE)
    return Verdict(fit.reason, fit.message) if fit is not None and not fit.is_true else None
