"""What keeps a version from being served, as far as pods say so."""

from collections.abc import Mapping
from typing import Final

from lorapool_api.kinds.conditions import AdapterCondition, Reason, Subject, traits
from lorapool_api.wire.state import AdapterPhase, AdapterState
from lorapool_operator.decide.adapters.checks import Finding
from lorapool_operator.decide.adapters.in_pods.status_input import StatusInput
from lorapool_operator.decide.adapters.pool_pods import PoolPods
from lorapool_operator.seen.verdict import Verdict

_CONDITION_OF: Final[Mapping[Subject | None, AdapterCondition]] = {
    Subject.SOURCE: AdapterCondition.RESOLVED,
    Subject.FIT: AdapterCondition.COMPATIBLE,
}


def finding_of(given: StatusInput) -> Finding | None:
    """What keeps a version from being served; None: it is served."""
    found = given.result.finding
    if found is not None and not (found.verdict.reason is Reason.WAITING_FOR_PODS and _wakes(given)):
        return found
    return finding_of_pods(given)


def finding_of_pods(given: StatusInput) -> Finding | None:
    """What keeps a version from being served although no check speaks against it; None: it is served."""
    if given.serving or _is_served_on_request(given):
        return None
    if given.failed:
        first_failed = given.failed[0]
        return _failure(first_failed.state, f"pod {first_failed.pod}")
    resolution = given.result.resolution
    sees_file_only_in_pods = resolution is not None and resolution.facts is None
    was_seen = given.result.version is not None or given.result.adapter.status.resolved is not None
    first = AdapterCondition.RESOLVED if sees_file_only_in_pods and not was_seen else AdapterCondition.READY
    return Finding(first, _progress(given))


def _is_served_on_request(given: StatusInput) -> bool:
    """Whether no pod holds it ahead, as the pool wants it, and none that was asked for it has failed."""
    if given.failed:
        return False
    return (not given.copies.placed and bool(given.pods.warm)) or _wakes(given)


def _wakes(given: StatusInput) -> bool:
    """Whether it is the served version, and a request starts a pod that serves it as pods did before."""
    version, adapter = given.result.version, given.result.adapter
    serving = adapter.status.serving
    is_served = version is not None and serving is not None and version.key == serving.key
    return given.pods.scales and is_served and adapter.is_ready


def _failure(state: AdapterState, where: str) -> Finding:
    reason = state.reason or Reason.INTERNAL_ERROR
    condition = _CONDITION_OF.get(traits(reason).subject, AdapterCondition.READY)
    return Finding(condition, Verdict(reason, f"{state.message or reason} ({where})"))


def _progress(given: StatusInput) -> Verdict:
    pods = given.pods
    if downloading := given.under_way(AdapterPhase.DOWNLOADING):
        return Verdict(Reason.DOWNLOADING, f"{_pods(downloading)} fetching the file")
    if not pods.warm and pods.token_refusal:
        return pods.token_refusal
    if not pods.warm:
        return Verdict(Reason.WAITING_FOR_PODS, _why_no_pod(pods))
    return Verdict(Reason.LOADING, f"{_pods(pods.warm)} reading the file")


def _why_no_pod(pods: PoolPods) -> str:
    if pods.replicas == 0 and pods.scales:
        return f"pool {pods.pool} has no pods while nobody asks: a request starts one"
    if pods.replicas == 0:
        return f"pool {pods.pool} has no replicas: scale it up"
    if pods.running:
        noun, verb = ("pod", "is") if pods.running == 1 else ("pods", "are")
        return f"{pods.running} {noun} of pool {pods.pool} {verb} loading the base model"
    return f"no pod of pool {pods.pool} is up yet; its own conditions say why"


def _pods(count: int) -> str:
    return "1 pod is" if count == 1 else f"{count} pods are"
