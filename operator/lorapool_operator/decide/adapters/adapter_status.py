"""What the status of an adapter says."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

import structlog

from lorapool_api.kinds.adapter import Adapter, AdapterPods, AdapterStatus, PodFailure, Resolved
from lorapool_api.kinds.conditions import (
    AdapterCondition,
    Condition,
    Reason,
    Status,
    Subject,
    traits,
    with_transition_times,
)
from lorapool_api.wire.state import AdapterPhase, AdapterState
from lorapool_operator.decide.adapters.checker import CheckResult
from lorapool_operator.decide.adapters.checks import Finding
from lorapool_operator.decide.adapters.moving import is_let_go, summary, while_moving
from lorapool_operator.decide.adapters.pool_pods import PoolPods
from lorapool_operator.decide.adapters.resolved import resolved
from lorapool_operator.placement.place import CopyCount
from lorapool_operator.seen.handover import ServedElsewhere
from lorapool_operator.seen.verdict import Verdict

log = structlog.get_logger(__name__)

MAX_FAILURES_NAMED: Final = 10

_ORDER: Final = tuple(AdapterCondition)
_CONDITION_OF: Final[Mapping[Subject | None, AdapterCondition]] = {
    Subject.SOURCE: AdapterCondition.RESOLVED,
    Subject.FIT: AdapterCondition.COMPATIBLE,
}


@dataclass(frozen=True)
class InPod:
    """What a pod says of an adapter, for the generation that its object has now.

    Attributes:
        pod: its name.
        is_warm: whether the pod's base is loaded.
    """

    pod: str
    is_warm: bool
    state: AdapterState


@dataclass(frozen=True)
class StatusInput:
    """What the status of an adapter depends on.

    Attributes:
        copies: how many pods shall hold it ahead of requests.
        in_pods: what the pods say that speak about this generation; only of an adapter that they shall have.
        elsewhere: how it fares in the pool that it leaves; None: it leaves none.
        now: the time that a condition gets whose status is another than before; a later one makes no other status.
    """

    result: CheckResult
    pods: PoolPods
    copies: CopyCount
    in_pods: tuple[InPod, ...]
    elsewhere: ServedElsewhere | None = None
    now: datetime = field(compare=False, kw_only=True)

    @property
    def serving(self) -> int:
        """Pods that can serve it: it is ready there, and so is the base."""
        return sum(p.is_warm and p.state.phase is AdapterPhase.READY for p in self.in_pods)

    @property
    def failed(self) -> tuple[InPod, ...]:
        return tuple(p for p in self.in_pods if p.state.phase is AdapterPhase.FAILED)

    def under_way(self, phase: AdapterPhase) -> int:
        return sum(p.state.phase is phase for p in self.in_pods)


@dataclass(frozen=True)
class WantedStatus:
    """The status that an adapter shall have, and whether its object has another."""

    adapter: Adapter
    status: AdapterStatus
    is_new: bool


def wanted_status(given: StatusInput) -> WantedStatus:
    """One adapter of which a pod says what nobody foresaw does not take the statuses of the others away."""
    adapter = given.result.adapter
    try:
        status = adapter_status(given)
    except Exception:
        log.exception("a status could not be built", adapter=adapter.key)
        text = "the operator could not tell from the pods' answers how it fares; its log says why"
        finding = Finding(AdapterCondition.READY, Verdict(Reason.INTERNAL_ERROR, text))
        status = adapter_status(replace(given, result=replace(given.result, finding=finding, entry=None), in_pods=()))
    if given.elsewhere is not None:
        status = while_moving(status, adapter, given.elsewhere, given.now)
    return WantedStatus(adapter, status, status != adapter.status)


def adapter_status(given: StatusInput) -> AdapterStatus:
    """The whole status; what did not change is equal to what was there, times included."""
    adapter, pods = given.result.adapter, given.pods
    conditions = with_transition_times(_conditions(given), adapter.status.conditions, given.now)
    placed, unplaced = given.copies
    in_pods = AdapterPods(
        ready=given.serving, total=pods.warm, copies=placed, unplaced=unplaced, failed=_failures(given)
    )
    return AdapterStatus(
        observed_generation=adapter.metadata.generation,
        pool_name=None if is_let_go(given.result) else pods.pool or None,
        resolved=_resolved(given),
        pods=None if pods.replicas is None else in_pods,
        summary=summary(conditions),
        conditions=conditions,
    )


def _conditions(given: StatusInput) -> list[Condition]:
    finding = given.result.finding or _finding_of_pods(given)
    generation = given.result.adapter.metadata.generation
    conditions = []
    for position, type_ in enumerate(_ORDER):
        status, verdict = _state(type_, position, finding, given)
        conditions.append(
            Condition(
                type=type_,
                status=status,
                reason=verdict.reason,
                message=verdict.message,
                observed_generation=generation,
            )
        )
    return conditions


def _state(
    type_: AdapterCondition, position: int, finding: Finding | None, given: StatusInput
) -> tuple[Status, Verdict]:
    """Before the finding: true. At it: false or undecided. After it: unknown. Ready is never unknown."""
    if finding is None or position < _ORDER.index(finding.condition):
        return "True", _when_true(type_, given)
    undecided = finding.condition is not type_ or traits(finding.verdict.reason).is_undecided
    return "Unknown" if undecided and type_ is not AdapterCondition.READY else "False", finding.verdict


def _finding_of_pods(given: StatusInput) -> Finding | None:
    """What keeps the adapter from being served although no check speaks against it; None: it is served."""
    if given.serving or _is_served_on_request(given):
        return None
    if given.failed:
        first_failed = given.failed[0]
        return _failure(first_failed.state, f"pod {first_failed.pod}")
    resolution = given.result.resolution
    sees_file_only_in_pods = resolution is not None and resolution.facts is None
    was_seen = given.result.adapter.status.resolved is not None
    first = AdapterCondition.RESOLVED if sees_file_only_in_pods and not was_seen else AdapterCondition.READY
    return Finding(first, _progress(given))


def _is_served_on_request(given: StatusInput) -> bool:
    """Whether no pod holds it ahead, as the pool wants it, and none that was asked for it has failed."""
    return not given.copies.placed and bool(given.pods.warm) and not given.failed


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
    if pods.replicas == 0:
        return f"pool {pods.pool} has no replicas: scale it up"
    if pods.running:
        noun, verb = ("pod", "is") if pods.running == 1 else ("pods", "are")
        return f"{pods.running} {noun} of pool {pods.pool} {verb} loading the base model"
    return f"no pod of pool {pods.pool} is up yet; its own conditions say why"


def _when_true(type_: AdapterCondition, given: StatusInput) -> Verdict:
    match type_:
        case AdapterCondition.ACCEPTED:
            return Verdict(Reason.ACCEPTED, f"pool {given.pods.pool} takes it")
        case AdapterCondition.RESOLVED:
            return Verdict(Reason.RESOLVED, _what_was_found(given))
        case AdapterCondition.COMPATIBLE:
            return Verdict(Reason.COMPATIBLE, "it fits the base model")
        case AdapterCondition.READY:
            return Verdict(Reason.SERVED, _how_it_is_served(given))


def _how_it_is_served(given: StatusInput) -> str:
    holders = f"held by {given.serving} of {given.pods.warm} pods"
    return holders if given.serving else f"{holders}: one brings it when a request asks for it"


def _what_was_found(given: StatusInput) -> str:
    found, label = _resolved(given), given.result.adapter.spec.source.label
    if found is None or found.rank is None:
        return label
    return f"{label}: {found.format}, rank {found.rank}, {found.targets} modules"


def _resolved(given: StatusInput) -> Resolved | None:
    return resolved(given.result.adapter, given.result.resolution, [p.state.facts for p in given.in_pods])


def _failures(given: StatusInput) -> tuple[PodFailure, ...]:
    return tuple(
        PodFailure(pod=p.pod, reason=p.state.reason or Reason.INTERNAL_ERROR, message=p.state.message)
        for p in sorted(given.failed, key=lambda failed: failed.pod)[:MAX_FAILURES_NAMED]
    )


def _pods(count: int) -> str:
    return "1 pod is" if count == 1 else f"{count} pods are"
