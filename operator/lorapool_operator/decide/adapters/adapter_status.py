"""What the status of an adapter says."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import structlog

from lorapool_api.kinds.adapter import Adapter, AdapterStatus, CandidateVersion
from lorapool_api.kinds.conditions import (
    AdapterCondition,
    Condition,
    Reason,
    Status,
    shared_condition,
    traits,
    with_transition_times,
)
from lorapool_api.kinds.status.adapter_pods import AdapterPods, PodFailure
from lorapool_api.kinds.status.names import HeldName
from lorapool_operator.decide.adapters.checks import Finding
from lorapool_operator.decide.adapters.in_pods.findings import finding_of
from lorapool_operator.decide.adapters.in_pods.status_input import StatusInput
from lorapool_operator.decide.adapters.moving import is_let_go, summary, while_moving
from lorapool_operator.decide.adapters.names import held_names
from lorapool_operator.decide.adapters.rollout.takeover import decide_rollout, first_version
from lorapool_operator.decide.paused import with_paused
from lorapool_operator.placement.place import NO_COPIES
from lorapool_operator.seen.verdict import Verdict

log = structlog.get_logger(__name__)

MAX_FAILURES_NAMED: Final = 10

_ORDER: Final = tuple(AdapterCondition)


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
        status = adapter_status(
            replace(given, result=replace(given.result, finding=finding, entry=None), in_pods=(), candidate=None)
        )
    if given.elsewhere is not None:
        status = while_moving(status, adapter, given.elsewhere, given.now)
    status = with_paused(status, adapter, given.now)
    is_new = status != adapter.status
    return WantedStatus(adapter, status if is_new else adapter.status, is_new)  # nobody needs two that are equal


def adapter_status(given: StatusInput) -> AdapterStatus:
    """The whole status; what did not change is equal to what was there, times included."""
    adapter, pods, rollout = given.result.adapter, given.pods, decide_rollout(given)
    served = rollout.served
    conditions = with_transition_times(_conditions(served, rollout.candidate), adapter.status.conditions, given.now)
    is_ready = any(c.is_true for c in conditions if c.type == AdapterCondition.READY)
    # A pod that starts because somebody asked changes nothing yet of what a person wants to know.
    placed, unplaced = NO_COPIES if pods.scales and not pods.warm else served.copies
    in_pods = AdapterPods(
        ready=served.serving, total=pods.warm, copies=placed, unplaced=unplaced or None, failed=_failures(served)
    )
    return AdapterStatus(
        observed_generation=adapter.metadata.generation,
        pool_name=None if is_let_go(served.result) else pods.pool or None,
        resolved=served.resolved,
        serving=first_version(served) if is_ready and rollout.serving is None else rollout.serving,
        candidate=rollout.candidate,
        previous=rollout.previous,
        names=names_held(adapter, given.result.names, given.now),
        pods=None if pods.replicas is None else in_pods,
        summary=summary(conditions),
        conditions=conditions,
    )


def names_held(adapter: Adapter, names: Sequence[str], now: datetime) -> tuple[HeldName, ...]:
    """The names that its status records. An adapter that an older operator has served had them from the beginning."""
    status = adapter.status
    first = adapter.metadata.creation_timestamp if status.conditions and not status.names else None
    return held_names(names, status.names, now, first)


def _conditions(given: StatusInput, candidate: CandidateVersion | None) -> list[Condition]:
    finding = finding_of(given)
    generation = given.result.adapter.metadata.generation
    conditions = conditions_by(finding, lambda type_: _when_true(type_, given), generation)
    if candidate is None:
        return conditions
    behind = {"status": "False", "reason": candidate.reason, "message": candidate.message}
    return [c.model_copy(update=behind) if c.type == AdapterCondition.UP_TO_DATE else c for c in conditions]


def conditions_by(
    finding: Finding | None,
    when_true: Callable[[AdapterCondition], Verdict],
    generation: int,
    order: Sequence[AdapterCondition] = _ORDER,
) -> list[Condition]:
    """The conditions of these types, in their order, without times.

    Before the finding: true. At it: false or undecided. After it: unknown. Ready is never unknown.

    Args:
        finding: what keeps the adapter from being served; its condition is one of the order. None: nothing does.
    """
    held_at = len(order) if finding is None else order.index(finding.condition)
    conditions = []
    for position, type_ in enumerate(order):
        status, verdict = _state(type_, position - held_at, finding) or ("True", when_true(type_))
        conditions.append(shared_condition(type_, status, verdict.reason, verdict.message, generation))
    return conditions


def _state(type_: AdapterCondition, past: int, finding: Finding | None) -> tuple[Status, Verdict] | None:
    """None before the finding; `past` is how many conditions lie between."""
    if finding is None or past < 0:
        return None
    undecided = past > 0 or traits(finding.verdict.reason).is_undecided
    return "Unknown" if undecided and type_ is not AdapterCondition.READY else "False", finding.verdict


def _when_true(type_: AdapterCondition, given: StatusInput) -> Verdict:
    match type_:
        case AdapterCondition.ACCEPTED:
            return Verdict(Reason.ACCEPTED, f"pool {given.pods.pool} takes it{_without_short_name(given)}")
        case AdapterCondition.RESOLVED:
            return Verdict(Reason.RESOLVED, _what_was_found(given))
        case AdapterCondition.COMPATIBLE:
            return Verdict(Reason.COMPATIBLE, "it fits the base model")
        case AdapterCondition.READY:
            return Verdict(Reason.SERVED, _how_it_is_served(given))
        case AdapterCondition.UP_TO_DATE:
            return Verdict(Reason.UP_TO_DATE, "what is served is what the spec asks for")


def _without_short_name(given: StatusInput) -> str:
    adapter = given.result.adapter
    if not given.result.names and not given.pods.pool:
        return ""
    has_it = adapter.metadata.name in given.result.names
    return "" if has_it else f"; {adapter.metadata.name!r} is another namespace's there: ask for {adapter.key}"


def _how_it_is_served(given: StatusInput) -> str:
    if not given.pods.warm:
        return "no pod runs while nobody asks: a request starts one"
    holders = f"held by {given.serving} of {given.pods.warm} pods"
    return holders if given.serving else f"{holders}: one brings it when a request asks for it"


def _what_was_found(given: StatusInput) -> str:
    found, label = given.resolved, given.source.label
    if found is None or found.rank is None:
        return label
    return f"{label}: {found.format}, rank {found.rank}, {found.targets} modules"


def _failures(given: StatusInput) -> tuple[PodFailure, ...]:
    return tuple(
        PodFailure(pod=p.pod, reason=p.state.reason or Reason.INTERNAL_ERROR, message=p.state.message)
        for p in sorted(given.failed, key=lambda failed: failed.pod)[:MAX_FAILURES_NAMED]
    )
