"""Whether the pods of a pool come, go or are replaced, what that waits for, and when it does not get there."""

from collections.abc import Sequence

from lorapool_api.kinds.conditions import Reason
from lorapool_api.kinds.pool import Pool
from lorapool_api.wire.state import BasePhase
from lorapool_operator.decide.adapters.pool_pods import token_refusal
from lorapool_operator.decide.pools.rows import Row, false, true
from lorapool_operator.decide.pools.trouble import is_final, refused_spec, said_by, unscheduled
from lorapool_operator.seen.observed import Observed
from lorapool_operator.seen.verdict import Verdict
from lorapool_operator.seen.views import PodView


def progressing(pool: Pool, pods: Sequence[PodView], seen: Observed) -> Row:
    """The condition Progressing. False with another reason than `Stable`: what was begun does not get there, and the
    pods that take requests go on."""
    if seen.base_resolution.is_pending:
        return true(Verdict(Reason.ROLLING_OUT, "the commit of its base model is being looked up"))
    if (refused := refused_spec(seen)) is not None:
        return false(refused)
    if seen.deployment is None:
        return true(Verdict(Reason.ROLLING_OUT, "its Deployment is being made"))
    under_way = _under_way(pool, pods, seen)
    if under_way is None:
        return false(Verdict(Reason.STABLE, "all pods are as they should be"))
    new = [p for p in pods if p.key not in seen.outdated]
    stuck = said_by([p for p in new if is_final(p, seen)], seen)
    if stuck is not None:
        return false(Verdict(stuck.reason, f"{under_way.message}; it does not get there: {stuck.message}"))
    parts = [under_way.message, *([why] if (why := _waits_for(new, seen)) else [])]
    if seen.deployment.is_late:
        late = f"nothing has moved for {pool.spec.runtime.rollout.progress_deadline_seconds} s"
        return false(Verdict(Reason.PROGRESS_DEADLINE_EXCEEDED, "; ".join([late, *parts])))
    return true(Verdict(under_way.reason, "; ".join(parts)))


def _under_way(pool: Pool, pods: Sequence[PodView], seen: Observed) -> Verdict | None:
    """What is going on; None: nothing is."""
    wanted, deployment, old = pool.spec.replicas, seen.deployment, len(seen.outdated)
    if deployment is not None and deployment.observed_generation < deployment.generation:
        return Verdict(Reason.ROLLING_OUT, "its Deployment has just been changed")
    if old or (deployment is not None and deployment.updated < min(wanted, len(pods))):
        ready = sum(p.ready for p in pods if p.key not in seen.outdated)
        text = f"{ready} of {wanted} pods of the newest template take requests; {old} of an older one are still there"
        return Verdict(Reason.ROLLING_OUT, text)
    if refusal := token_refusal(seen):
        return refusal
    ready = sum(p.ready for p in pods)
    if ready < wanted or len(pods) > wanted:
        return Verdict(Reason.STARTING, f"{ready} of {wanted} pods take requests")
    return None


def _waits_for(new: Sequence[PodView], seen: Observed) -> str | None:
    """What keeps the new pods from taking requests."""
    if seen.deployment is not None and seen.deployment.is_paused:
        return f"its Deployment is paused: kubectl rollout resume deployment {seen.deployment.name}"
    if (no_node := unscheduled(new)) is not None:
        return no_node
    if seen.deployment is not None and seen.deployment.failure is not None:
        return f"a pod cannot be made: {seen.deployment.failure}"
    if (said := said_by(new, seen)) is not None:
        return said.message
    phases = [r.base.phase for p in new if not p.ready and (r := seen.report(p)).base is not None and r.base]
    if loading := phases.count(BasePhase.LOADING):
        return f"{loading} {'loads' if loading == 1 else 'load'} the base model"
    if BasePhase.WARM in phases and seen.outdated:
        return "the base model is loaded; adapters that the old pods hold are brought"
    return None
