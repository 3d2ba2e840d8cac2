"""What the status of a pool says."""

from lorapool_api.kinds.conditions import (
    Condition,
    PoolCondition,
    Reason,
    Status,
    with_transition_times,
)
from lorapool_api.kinds.pool import AdapterCounts, Pool, PoolStatus
from lorapool_api.wire.last_words import last_words
from lorapool_api.wire.state import BasePhase
from lorapool_operator.decide.adapters.pool_pods import token_refusal
from lorapool_operator.decide.pools.model_status import cold_start_s, model_status, newest_base
from lorapool_operator.manifests.common import selector
from lorapool_operator.manifests.service import service_url
from lorapool_operator.seen.observed import Observed
from lorapool_operator.seen.verdict import Verdict
from lorapool_operator.seen.views import PodTrouble, PodView


def pool_status(pool: Pool, seen: Observed, adapters: AdapterCounts) -> PoolStatus:
    """The whole status; what did not change is equal to what was there, times included."""
    pods = [p for p in seen.pods if p.counts]
    base = newest_base(pods, seen)
    before = pool.status
    return PoolStatus(
        observed_generation=pool.metadata.generation,
        replicas=len(pods),
        ready_replicas=sum(p.ready for p in pods),
        selector=",".join(f"{key}={value}" for key, value in sorted(selector(pool).items())),
        adapters=adapters,
        model=model_status(pool, base, seen),
        last_cold_start_seconds=cold_start_s(base, before),
        url=service_url(pool),
        conditions=with_transition_times(_conditions(pool, pods, seen), before.conditions, seen.now),
    )


def _conditions(pool: Pool, pods: list[PodView], seen: Observed) -> list[Condition]:
    trouble = _trouble(pods, seen)
    worse = trouble or _shortfall(pods, seen)
    ready = sum(p.ready for p in pods)
    available = _available(pool, pods, ready, trouble, seen)
    progressing = _progressing(pool, pods, ready, seen)
    rows: list[tuple[PoolCondition, Status, Verdict]] = [
        (PoolCondition.READY, *_ready(pool, ready, available, progressing, trouble)),
        (PoolCondition.AVAILABLE, *available),
        (PoolCondition.PROGRESSING, *progressing),
        (
            PoolCondition.DEGRADED,
            *(_true(worse) if worse else _false(Verdict(Reason.STABLE, "nothing is wrong with its pods"))),
        ),
    ]
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


Row = tuple[Status, Verdict]


def _true(verdict: Verdict) -> Row:
    return "True", verdict


def _false(verdict: Verdict) -> Row:
    return "False", verdict


def _ready(pool: Pool, ready: int, available: Row, progressing: Row, trouble: Verdict | None) -> Row:
    """All wanted pods, of the wanted kind, take requests."""
    if available[0] != "True":
        return available
    if trouble is not None:
        return _false(trouble)
    if progressing[0] == "True":
        return _false(progressing[1])
    return _true(Verdict(Reason.AVAILABLE, f"{ready} of {pool.spec.replicas} pods take requests"))


def _available(pool: Pool, pods: list[PodView], ready: int, trouble: Verdict | None, seen: Observed) -> Row:
    """At least one pod takes requests."""
    if ready:
        return _true(Verdict(Reason.AVAILABLE, f"{ready} of {pool.spec.replicas} pods take requests"))
    if pool.spec.replicas == 0:
        return _false(Verdict(Reason.SCALED_TO_ZERO, "spec.replicas is 0: scale it up to serve"))
    return _false(trouble or Verdict(Reason.STARTING, _how_far(pods, seen)))


def _how_far(pods: list[PodView], seen: Observed) -> str:
    unscheduled = _unscheduled(pods)
    if unscheduled:
        return unscheduled
    loading = [t.base for p in pods if (t := seen.report(p)).base and t.base and t.base.phase is BasePhase.LOADING]
    if loading:
        return f"{len(loading)} of {len(pods)} pods load the base model" + (
            f": {loading[0].message}" if loading[0].message else ""
        )
    if any(seen.report(p).is_warm for p in pods):
        return "the base model is loaded; the pods are about to take requests"
    return f"{len(pods)} pods are starting" if pods else "waiting for the first pod"


def _progressing(pool: Pool, pods: list[PodView], ready: int, seen: Observed) -> Row:
    """Pods come, go or are replaced."""
    wanted, deployment = pool.spec.replicas, seen.deployment
    unscheduled = _unscheduled(pods)
    detail = f"; {unscheduled}" if unscheduled else ""
    if seen.base_resolution.is_pending:
        return _true(Verdict(Reason.ROLLING_OUT, "the commit of its base model is being looked up"))
    if deployment is None:
        return _true(Verdict(Reason.ROLLING_OUT, "its Deployment is being made"))
    if deployment.observed_generation < deployment.generation or deployment.updated < min(wanted, len(pods)):
        text = f"{deployment.updated} of {wanted} pods are of the newest kind{detail}"
        return _true(Verdict(Reason.ROLLING_OUT, text))
    if refusal := token_refusal(seen):
        return _true(refusal)
    if ready < wanted or len(pods) > wanted:
        return _true(Verdict(Reason.STARTING, f"{ready} of {wanted} pods take requests{detail}"))
    return _false(Verdict(Reason.STABLE, "all pods are as they should be"))


def _unscheduled(pods: list[PodView]) -> str | None:
    problems = (p.problem for p in pods if p.problem and p.problem.kind is PodTrouble.UNSCHEDULABLE)
    first = next(problems, None)
    return f"no node for a pod: {first.message}" if first else None


def _trouble(pods: list[PodView], seen: Observed) -> Verdict | None:
    """What somebody has to look at, the most telling first."""
    if seen.refusal is not None:
        return seen.refusal
    if seen.base_resolution.problem is not None and not seen.warm:
        return seen.base_resolution.problem
    for pod in pods:
        base = seen.report(pod).base
        if base is not None and base.phase is BasePhase.FAILED:
            reason = base.reason or Reason.MODEL_LOAD_FAILED
            return Verdict(reason, f"{base.message or 'the base model cannot be loaded'} (pod {pod.name})")
    for pod in pods:
        if pod.problem is not None and pod.problem.kind is not PodTrouble.UNSCHEDULABLE:
            if (said := last_words(pod.problem.message)) is not None:
                return Verdict(said.reason, f"{said.message} (pod {pod.name})")
            return Verdict(Reason.POD_FAILED, f"pod {pod.name}: {pod.problem.reason}: {pod.problem.message}")
    if seen.deployment is not None and seen.deployment.failure is not None:
        return Verdict(Reason.POD_FAILED, f"pods cannot be made: {seen.deployment.failure}")
    return None


def _shortfall(pods: list[PodView], seen: Observed) -> Verdict | None:
    """What the pods' devices have no memory for. They serve what fits, so it takes nothing from Ready."""
    for pod in pods:
        base = seen.report(pod).base
        if base is not None and base.shortfall is not None:
            pixels, fits = base.shortfall.pixels, base.shortfall.fits
            message = f"limits.pixels {pixels} does not fit the device's memory: up to {fits} fit (pod {pod.name})"
            return Verdict(Reason.LIMITS_DO_NOT_FIT, message)
    return None


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
