"""What is wrong with the pods of a pool, in their own words and in those of the cluster."""

import re
from collections.abc import Iterable
from typing import Final

from lorapool_api.kinds.conditions import Reason, traits
from lorapool_api.wire.last_words import last_words
from lorapool_api.wire.state import BasePhase
from lorapool_operator.manifests.contract import template_problem
from lorapool_operator.seen.observed import Observed
from lorapool_operator.seen.verdict import Verdict
from lorapool_operator.seen.views import PodTrouble, PodView, Problem

# Reasons for which a container waits that may pass without another pod: a registry is away, a Secret is made later.
_MAY_PASS: Final = frozenset({"ErrImagePull", "ImagePullBackOff", "CreateContainerConfigError"})
_LACKING: Final = re.compile(r"Insufficient (\S*gpu\S*?)[,.]?(?:\s|$)")


def pool_trouble(pods: Iterable[PodView], seen: Observed) -> Verdict | None:
    """What somebody has to look at, the most telling first."""
    if (refused := refused_spec(seen)) is not None:
        return refused
    if seen.base_resolution.problem is not None and not seen.warm:
        return seen.base_resolution.problem
    if (said := said_by(pods, seen)) is not None:
        return said
    if seen.deployment is not None and seen.deployment.failure is not None:
        return Verdict(Reason.POD_FAILED, f"pods cannot be made: {seen.deployment.failure}")
    return None


def refused_spec(seen: Observed) -> Verdict | None:
    """Why no pods can be made as the spec asks for them."""
    problem = template_problem(seen.pool) if seen.pool is not None else None
    return problem or seen.refusal


def said_by(pods: Iterable[PodView], seen: Observed) -> Verdict | None:
    """What the first pod with trouble says; what a process says of its base goes before how containers end."""
    rows = list(pods)
    for find in (_base_failure, _container_failure):
        found = next((verdict for pod in rows if (verdict := find(pod, seen)) is not None), None)
        if found is not None:
            return found
    return None


def is_final(pod: PodView, seen: Observed) -> bool:
    """Whether the pod has trouble that does not pass by itself."""
    base = _base_failure(pod, seen)
    if base is not None:
        return not traits(base.reason).is_transient
    problem = _container_problem(pod)
    return problem is not None and problem.reason not in _MAY_PASS


def _base_failure(pod: PodView, seen: Observed) -> Verdict | None:
    base = seen.report(pod).base
    if base is None or base.phase is not BasePhase.FAILED:
        return None
    reason = base.reason or Reason.MODEL_LOAD_FAILED
    return Verdict(reason, f"{base.message or 'the base model cannot be loaded'} (pod {pod.name})")


def _container_failure(pod: PodView, seen: Observed) -> Verdict | None:
    problem = _container_problem(pod)
    if problem is None:
        return None
    if (said := last_words(problem.message)) is not None:
        return Verdict(said.reason, f"{said.message} (pod {pod.name})")
    return Verdict(Reason.POD_FAILED, f"pod {pod.name}: {problem.reason}: {problem.message}")


def _container_problem(pod: PodView) -> Problem | None:
    is_scheduled = pod.problem is not None and pod.problem.kind is not PodTrouble.UNSCHEDULABLE
    return pod.problem if is_scheduled else None


def unscheduled(pods: Iterable[PodView]) -> str | None:
    """That a pod finds no node, in the scheduler's words."""
    problems = (p.problem for p in pods if p.problem and p.problem.kind is PodTrouble.UNSCHEDULABLE)
    first = next(problems, None)
    if first is None:
        return None
    lacking = _LACKING.search(first.message)
    what = f"no free GPU ({lacking[1]}) for a pod" if lacking else "no node for a pod"
    return f"{what}: {first.message}"
