"""What the status of an adapter says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

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
from lorapool_operator.decide.checker import CheckResult
from lorapool_operator.decide.checks import Finding
from lorapool_operator.decide.pool_status import token_refusal
from lorapool_operator.seen.observed import Observed, PodView
from lorapool_operator.seen.resolution import Resolution
from lorapool_operator.seen.verdict import Verdict

log = structlog.get_logger(__name__)

MAX_FAILURES_NAMED: Final = 10

_ORDER: Final = tuple(AdapterCondition)
_CONDITION_OF: Final[Mapping[Subject | None, AdapterCondition]] = {
    Subject.SOURCE: AdapterCondition.RESOLVED,
    Subject.FIT: AdapterCondition.COMPATIBLE,
}


@dataclass(frozen=True)
class InPods:
    """How an adapter fares in the pods, for the generation that its object has now.

    Attributes:
        warm_pods: keys of the pods whose base is loaded.
        states: (pod, state) of the pods that speak about this generation.
    """

    warm_pods: frozenset[str]
    states: tuple[tuple[PodView, AdapterState], ...] = ()

    @property
    def warm(self) -> int:
        return len(self.warm_pods)

    @property
    def serving(self) -> int:
        """Pods that can serve it: it is ready there, and so is the base."""
        return sum(s.phase is AdapterPhase.READY and p.key in self.warm_pods for p, s in self.states)

    @property
    def failed(self) -> tuple[tuple[PodView, AdapterState], ...]:
        return tuple((p, s) for p, s in self.states if s.phase is AdapterPhase.FAILED)

    def under_way(self, phase: AdapterPhase) -> int:
        return sum(s.phase is phase for _, s in self.states)


def in_pods(adapter: Adapter, seen: Observed) -> InPods:
    """What the pods say of the adapter. Words about an earlier generation say nothing about this one."""
    key, generation = adapter.key, adapter.metadata.generation
    heard = ((p, report.adapters.get(key)) for p, report in seen.running_pods)
    return InPods(seen.warm, tuple((p, s) for p, s in heard if s and s.generation == generation))


class AdapterStatuses:
    """Statuses of a pool's adapters, from pass to pass.

    A status depends on its result, on what the pods say of the adapter and on which pods are warm; where none of
    these is new, neither is the status. With thousands of adapters that is most of a pass.
    """

    def __init__(self) -> None:
        self._surroundings: tuple[object, ...] = ()
        self._said: tuple[Mapping[str, AdapterState], ...] = ()
        self._checked: Mapping[str, CheckResult] = {}
        self._made: dict[str, AdapterStatus] = {}

    def all(self, results: Mapping[str, CheckResult], seen: Observed) -> dict[str, AdapterStatus]:
        replicas = seen.pool.spec.replicas if seen.pool else None
        surroundings = (replicas, seen.warm, tuple((p.key, report.accepts_token) for p, report in seen.running_pods))
        if surroundings != self._surroundings:
            self._made, self._surroundings = {}, surroundings
        said = tuple(report.adapters for _, report in seen.running_pods)
        stale = _moved(self._checked, results).union(*map(_moved, self._said, said))
        self._made = {
            key: _status_or_defect(result, seen) if key in stale or key not in self._made else self._made[key]
            for key, result in results.items()
        }
        self._said, self._checked = said, results
        return dict(self._made)


def _moved(before: Mapping[str, object], now: Mapping[str, object]) -> set[str]:
    """Keys whose values are other objects than before, or are gone."""
    if before is now:
        return set()
    return {key for key, value in now.items() if before.get(key) is not value} | (before.keys() - now.keys())


def _status_or_defect(result: CheckResult, seen: Observed) -> AdapterStatus:
    """One adapter of which a pod says what nobody foresaw must not take the statuses of the others away."""
    try:
        return adapter_status(result, seen)
    except Exception:
        log.exception("a status could not be built", adapter=result.adapter.key)
        text = "the operator could not tell from the pods' answers how it fares; its log says why"
        finding = Finding(AdapterCondition.READY, Verdict(Reason.INTERNAL_ERROR, text))
        return adapter_status(replace(result, finding=finding, entry=None), seen)


def adapter_status(result: CheckResult, seen: Observed) -> AdapterStatus:
    """The whole status; what did not change is equal to what was there, times included."""
    adapter = result.adapter
    pods = in_pods(adapter, seen) if result.entry else InPods(seen.warm)
    conditions = with_transition_times(_conditions(result, pods, seen), adapter.status.conditions, seen.now)
    return AdapterStatus(
        observed_generation=adapter.metadata.generation,
        pool_name=adapter.pool_key,
        resolved=_resolved(result, pods),
        pods=AdapterPods(ready=pods.serving, total=pods.warm, failed=_failures(pods)) if seen.pool else None,
        summary=_summary(conditions),
        conditions=conditions,
    )


def _conditions(result: CheckResult, pods: InPods, seen: Observed) -> list[Condition]:
    finding = result.finding or _finding_of_pods(result, pods, seen)
    generation = result.adapter.metadata.generation
    conditions = []
    for position, type_ in enumerate(_ORDER):
        status, verdict = _state(type_, position, finding, result, pods, seen)
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
    type_: AdapterCondition,
    position: int,
    finding: Finding | None,
    result: CheckResult,
    pods: InPods,
    seen: Observed,
) -> tuple[Status, Verdict]:
    """Before the finding: true. At it: false or undecided. After it: unknown. Ready is never unknown."""
    if finding is None or position < _ORDER.index(finding.condition):
        return "True", _when_true(type_, result, pods, seen)
    undecided = finding.condition is not type_ or traits(finding.verdict.reason).is_undecided
    return "Unknown" if undecided and type_ is not AdapterCondition.READY else "False", finding.verdict


def _finding_of_pods(result: CheckResult, pods: InPods, seen: Observed) -> Finding | None:
    """What keeps the adapter from being served although no check speaks against it; None: it is served."""
    if pods.serving:
        return None
    if pods.failed:
        pod, state = pods.failed[0]
        return _failure(state, f"pod {pod.name}")
    sees_file_only_in_pods = result.resolution is not None and result.resolution.facts is None
    was_seen = result.adapter.status.resolved is not None
    first = AdapterCondition.RESOLVED if sees_file_only_in_pods and not was_seen else AdapterCondition.READY
    return Finding(first, _progress(pods, seen))


def _failure(state: AdapterState, where: str) -> Finding:
    reason = state.reason or Reason.INTERNAL_ERROR
    condition = _CONDITION_OF.get(traits(reason).subject, AdapterCondition.READY)
    return Finding(condition, Verdict(reason, f"{state.message or reason} ({where})"))


def _progress(pods: InPods, seen: Observed) -> Verdict:
    if downloading := pods.under_way(AdapterPhase.DOWNLOADING):
        return Verdict(Reason.DOWNLOADING, f"{_pods(downloading)} fetching the file")
    if not pods.warm and (refusal := token_refusal(seen)):
        return refusal
    if not pods.warm:
        return Verdict(Reason.WAITING_FOR_PODS, _why_no_pod(seen))
    return Verdict(Reason.LOADING, f"{_pods(pods.warm)} reading the file")


def _why_no_pod(seen: Observed) -> str:
    if seen.pool is not None and seen.pool.spec.replicas == 0:
        return f"pool {seen.key} has no replicas: scale it up"
    if seen.running_pods:
        count = len(seen.running_pods)
        pods, verb = ("pod", "is") if count == 1 else ("pods", "are")
        return f"{count} {pods} of pool {seen.key} {verb} loading the base model"
    return f"no pod of pool {seen.key} is up yet; its own conditions say why"


def _when_true(type_: AdapterCondition, result: CheckResult, pods: InPods, seen: Observed) -> Verdict:
    match type_:
        case AdapterCondition.ACCEPTED:
            return Verdict(Reason.ACCEPTED, f"pool {seen.key} takes it")
        case AdapterCondition.RESOLVED:
            return Verdict(Reason.RESOLVED, _what_was_found(result, pods))
        case AdapterCondition.COMPATIBLE:
            return Verdict(Reason.COMPATIBLE, "it fits the base model")
        case AdapterCondition.READY:
            return Verdict(Reason.SERVED, f"served by {pods.serving} of {pods.warm} pods")


def _what_was_found(result: CheckResult, pods: InPods) -> str:
    found = _resolved(result, pods)
    if found is None or found.rank is None:
        return result.adapter.spec.source.label
    return f"{result.adapter.spec.source.label}: {found.format}, rank {found.rank}, {found.targets} modules"


def _resolved(result: CheckResult, pods: InPods) -> Resolved | None:
    """What pods found in the file, else what the source says, else what was known of this very generation before:
    pods that are away do not make it untrue."""
    status, found = result.adapter.status, result.resolution or Resolution()
    same = status.observed_generation == result.adapter.metadata.generation
    before = status.resolved if same and status.resolved else Resolved()
    facts = next((s.facts for _, s in pods.states if s.facts is not None), None)
    from_source = {name: getattr(found, name) for name in Resolved.model_fields}
    from_pods = facts.model_dump() if facts else {}
    known = _known(before.model_dump() | _known(from_source) | from_pods)
    return Resolved.model_validate(known) if known else None


def _known(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _failures(pods: InPods) -> tuple[PodFailure, ...]:
    return tuple(
        PodFailure(pod=p.name, reason=s.reason or Reason.INTERNAL_ERROR, message=s.message)
        for p, s in sorted(pods.failed, key=lambda pair: pair[0].name)[:MAX_FAILURES_NAMED]
    )


def _summary(conditions: Sequence[Condition]) -> str:
    """The reason of the first condition that is not true; of Ready, when all are."""
    return next((c.reason for c in conditions if not c.is_true), conditions[-1].reason)


def _pods(count: int) -> str:
    return "1 pod is" if count == 1 else f"{count} pods are"
