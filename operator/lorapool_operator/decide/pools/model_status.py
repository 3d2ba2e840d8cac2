"""What the status of a pool says of its base model."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from lorapool_api.kinds.pool import Pool, PoolStatus
from lorapool_api.kinds.status.base import BaseRevision, ModelStatus
from lorapool_api.kinds.status.cold_start import ColdStart, ColdStartStage
from lorapool_api.wire.state import BaseState
from lorapool_operator.manifests.pinned import hub_sources, is_commit
from lorapool_operator.seen.observed import Observed
from lorapool_operator.seen.resolution import BaseResolution
from lorapool_operator.seen.views import PodView

_FIRST_IMAGE: Final = "image"
_BEGINNING: Final = datetime.min.replace(tzinfo=UTC)


def newest_warm(pods: Iterable[PodView], seen: Observed) -> PodView | None:
    """Of the pods whose base is loaded, the one that was created last."""
    warm = (pod for pod in pods if seen.report(pod).is_warm)
    return max(warm, key=lambda pod: (pod.created or _BEGINNING, pod.name), default=None)


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


def cold_start(newest: PodView | None, seen: Observed, before: PoolStatus) -> ColdStart | None:
    """How the newest pod came up; what is known of it stays while no pod is there."""
    start_s = {} if newest is None else dict(seen.report(newest).start_s)
    if newest is None or not start_s:
        return before.last_cold_start
    if newest.created is not None and newest.started is not None:
        start_s = {"pod": max(0.0, (newest.started - newest.created).total_seconds())} | start_s
    stages = tuple(ColdStartStage(name=name, seconds=round(seconds, 3)) for name, seconds in start_s.items())
    whole_s = round(sum(stage.seconds for stage in stages), 3) if _FIRST_IMAGE in start_s else None
    return ColdStart(pod=newest.name, stages=stages, seconds_to_first_image=whole_s)


def cold_start_s(base: BaseState | None, before: PoolStatus) -> float | None:
    """How long the newest pod took; what is known of it stays while no pod is there."""
    return before.last_cold_start_seconds if base is None or base.cold_start_s is None else round(base.cold_start_s, 3)
