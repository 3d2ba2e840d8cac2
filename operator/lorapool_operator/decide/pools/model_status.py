"""What the status of a pool says of its base model."""

from collections.abc import Iterable
from datetime import UTC, datetime

from lorapool_api.kinds.pool import BaseRevision, ModelStatus, Pool, PoolStatus
from lorapool_api.wire.state import BaseState
from lorapool_operator.manifests.pinned import hub_sources, is_commit
from lorapool_operator.seen.observed import Observed
from lorapool_operator.seen.resolution import BaseResolution
from lorapool_operator.seen.views import PodView

_BEGINNING = datetime.min.replace(tzinfo=UTC)


def newest_base(pods: Iterable[PodView], seen: Observed) -> BaseState | None:
    """The base as the pod that was created last holds it."""
    warm = [(p.created or _BEGINNING, p.name, t.base) for p in pods if (t := seen.report(p)).is_warm and t.base]
    return max(warm, key=lambda row: row[:2])[2] if warm else None


def model_status(pool: Pool, base: BaseState | None, seen: Observed) -> ModelStatus | None:
    """What was found of it, and which commits are settled. `base` is what the newest warm pod holds."""
    before = pool.status.model or ModelStatus()
    found = before.model_copy(update={"revision": base.revision, "size_bytes": base.size_bytes}) if base else before
    model = found.model_copy(update={"sources": _settled(pool, base, seen)})
    return model if model != ModelStatus() else None


def known_commits(pool: Pool, resolution: BaseResolution) -> dict[tuple[str, str], str]:
    """(repository, revision) -> commit: what the status has settled, else what was looked up now."""
    settled = pool.status.model.sources if pool.status.model else ()
    return dict(resolution.commits) | {(s.repo, s.revision): s.commit for s in settled if s.commit}


def _settled(pool: Pool, base: BaseState | None, seen: Observed) -> tuple[BaseRevision, ...]:
    """What is settled about the repositories that the spec names. Once a pod holds a base without the commit being
    known, its own resolution stands: to learn the commit later would replace pods that work."""
    before = {(s.repo, s.revision): s for s in (pool.status.model.sources if pool.status.model else ())}
    commits, settled = known_commits(pool, seen.base_resolution), {}
    holds_it = base is not None and _is_rolled_out(seen)
    for hub in hub_sources(pool.spec.model):
        key = (hub.repo, hub.revision)
        if key in before:
            settled[key] = before[key]
        elif key in commits or (holds_it and not seen.base_resolution.is_pending and not is_commit(hub.revision)):
            settled[key] = BaseRevision(repo=hub.repo, revision=hub.revision, commit=commits.get(key))
    return tuple(settled.values())


def _is_rolled_out(seen: Observed) -> bool:
    """Whether every pod is of the spec as it stands."""
    deployment = seen.deployment
    return (
        deployment is not None
        and deployment.observed_generation >= deployment.generation
        and deployment.updated >= sum(p.counts for p in seen.pods)
    )


def cold_start_s(base: BaseState | None, before: PoolStatus) -> float | None:
    """How long the newest pod took; what is known of it stays while no pod is there."""
    return before.last_cold_start_seconds if base is None or base.cold_start_s is None else round(base.cold_start_s, 3)
