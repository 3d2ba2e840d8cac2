"""What the status of a pool says."""

from datetime import datetime

from lorapool_api.kinds.conditions import (
    PAUSED_CONDITION,
    Condition,
    PoolCondition,
    Reason,
    Status,
    with_transition_times,
)
from lorapool_api.kinds.pool import AdapterCounts, Pool, PoolStatus
from lorapool_api.kinds.status.names import KeptName
from lorapool_api.rules.claims import pool_names
from lorapool_api.wire.state import BasePhase
from lorapool_operator.decide.adapters.names import held_names
from lorapool_operator.decide.paused import PAUSED
from lorapool_operator.decide.pools.model_status import cold_start, cold_start_s, model_status, newest_warm
from lorapool_operator.decide.pools.progress import progressing
from lorapool_operator.decide.pools.rows import Row, false, true
from lorapool_operator.decide.pools.trouble import pool_trouble, unscheduled
from lorapool_operator.manifests.common import selector
from lorapool_operator.manifests.service import service_url
from lorapool_operator.seen.observed import Observed
from lorapool_operator.seen.verdict import Verdict
from lorapool_operator.seen.views import PodTrouble, PodView


def pool_status(pool: Pool, seen: Observed, adapters: AdapterCounts, kept: tuple[KeptName, ...] = ()) -> PoolStatus:
    """The whole status; what did not change is equal to what was there, times included."""
    pods = [p for p in seen.pods if p.counts]
    newest = newest_warm(pods, seen)
    base = None if newest is None else seen.report(newest).base
    before = pool.status
    return PoolStatus(
        observed_generation=pool.metadata.generation,
        replicas=len(pods),
        ready_replicas=sum(p.ready for p in pods),
        sleeping_replicas=_sleeping(pool, pods, seen),
        desired_replicas=pool.spec.replicas,
        selector=",".join(f"{key}={value}" for key, value in sorted(selector(pool).items())),
        adapters=adapters,
        model=model_status(pool, base, seen),
        last_cold_start_seconds=cold_start_s(base, before),
        last_cold_start=cold_start(newest, seen, before),
        url=service_url(pool),
        names=held_names(dict.fromkeys(pool_names(pool)), before.names, seen.now, _first_named(pool)),
        kept_names=kept,
        conditions=with_transition_times(_conditions(pool, pods, seen), before.conditions, seen.now),
    )


def _first_named(pool: Pool) -> datetime | None:
    """A pool that an older operator has served had its names from the beginning."""
    return pool.metadata.creation_timestamp if pool.status.conditions and not pool.status.names else None


def _conditions(pool: Pool, pods: list[PodView], seen: Observed) -> list[Condition]:
    trouble = pool_trouble(pods, seen)
    worse = trouble or _shortfall(pool, pods, seen)
    ready = sum(p.ready for p in pods)
    available = _available(pool, pods, ready, trouble, seen)
    moving = progressing(pool, pods, seen)
    rows: list[tuple[str, Status, Verdict]] = [
        (PoolCondition.READY, *_ready(pool, ready, available, moving, trouble)),
        (PoolCondition.AVAILABLE, *available),
        (PoolCondition.PROGRESSING, *moving),
        (
            PoolCondition.DEGRADED,
            *(true(worse) if worse else false(Verdict(Reason.STABLE, "nothing is wrong with its pods"))),
        ),
    ]
    if pool.metadata.is_paused:
        rows.append((PAUSED_CONDITION, *true(PAUSED)))
    return [
        Condition(
            type=type_,
            status=status,
            reason=verdict.reason,
            message=verdict.message,
            observed_generation=pool.metadata.generation,
        )
        for type_, status, verdict in rows
    ]


def _ready(pool: Pool, ready: int, available: Row, moving: Row, trouble: Verdict | None) -> Row:
    """All wanted pods, of the wanted template, take requests; one that a request starts counts as there."""
    if available[1].reason is Reason.SCALED_TO_ZERO and pool.spec.scaling is not None and trouble is None:
        return true(available[1])
    if available[0] != "True":
        return available
    if trouble is not None:
        return false(trouble)
    if moving[1].reason != Reason.STABLE:
        return false(moving[1])
    return available


def _available(pool: Pool, pods: list[PodView], ready: int, trouble: Verdict | None, seen: Observed) -> Row:
    """At least one pod takes requests."""
    if ready:
        asleep = _sleeping(pool, pods, seen)
        said = f"; the base of {asleep} waits in host memory until a request comes" if asleep else ""
        return true(Verdict(Reason.AVAILABLE, f"{ready} of {pool.spec.replicas} pods take requests{said}"))
    if pool.spec.replicas == 0 and pool.spec.scaling is not None:
        idle_s = pool.spec.scaling.idle_seconds
        text = f"nobody has asked for an image for {idle_s} s: the next request starts a pod"
        return false(Verdict(Reason.SCALED_TO_ZERO, text))
    if pool.spec.replicas == 0:
        return false(Verdict(Reason.SCALED_TO_ZERO, "spec.replicas is 0: scale it up to serve"))
    return false(trouble or Verdict(Reason.STARTING, _how_far(pods, seen)))


def _sleeping(pool: Pool, pods: list[PodView], seen: Observed) -> int | None:
    """Of those that take requests; None where none may."""
    if pool.spec.scaling is None or not pool.spec.scaling.sleep:
        return None
    return sum(pod.ready and seen.report(pod).sleep.asleep for pod in pods)


def _how_far(pods: list[PodView], seen: Observed) -> str:
    if (no_node := unscheduled(pods)) is not None:
        return no_node
    loading = [t.base for p in pods if (t := seen.report(p)).base and t.base and t.base.phase is BasePhase.LOADING]
    if loading:
        return f"{len(loading)} of {len(pods)} pods load the base model" + (
            f": {loading[0].message}" if loading[0].message else ""
        )
    if any(seen.report(p).is_warm for p in pods):
        return "the base model is loaded; the pods are about to take requests"
    return f"{len(pods)} pods are starting" if pods else "waiting for the first pod"


def _shortfall(pool: Pool, pods: list[PodView], seen: Observed) -> Verdict | None:
    """What the pods' devices have no memory for, and what `spec.scaling` does not know. They serve what they can, so it
    takes nothing from Ready."""
    pool_sleeps = pool.spec.scaling is not None and pool.spec.scaling.sleep
    for pod in pods:
        base = seen.report(pod).base
        if base is not None and base.shortfall is not None:
            pixels, fits = base.shortfall.pixels, base.shortfall.fits
            message = f"limits.pixels {pixels} does not fit the device's memory: up to {fits} fit (pod {pod.name})"
            return Verdict(Reason.LIMITS_DO_NOT_FIT, message)
        if (problem := seen.report(pod).sleep.problem) and pool_sleeps:
            return Verdict(Reason.SLEEP_FAILED, f"pod {pod.name}: {problem}")
    return seen.scaling_problem


def pods_by_state(seen: Observed) -> dict[str, int]:
    """How many pods are in which state, for the metrics."""
    counts = dict.fromkeys(("ready", "warm", "loading", "failed", "pending"), 0)
    for pod in seen.pods:
        if pod.counts:
            counts[_state_of(pod, seen)] += 1
    return counts


def _state_of(pod: PodView, seen: Observed) -> str:
    base = seen.report(pod).base
    if pod.problem is not None or (base is not None and base.phase is BasePhase.FAILED):
        return "failed" if pod.problem is None or pod.problem.kind is not PodTrouble.UNSCHEDULABLE else "pending"
    if pod.ready:
        return "ready"
    if base is None:
        return "pending"
    return "warm" if base.phase is BasePhase.WARM else "loading"
