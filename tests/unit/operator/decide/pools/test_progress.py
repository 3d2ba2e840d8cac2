"""What a pool says of a rollout: what it waits for, and that it does not get there."""

from typing import Any

import pytest
from tests.unit.operator import make as op

from lorapool_api.kinds.conditions import Condition, Reason
from lorapool_api.kinds.pool import AdapterCounts, PoolStatus
from lorapool_api.wire.state import BasePhase, BaseState
from lorapool_operator.decide.events import pool_events
from lorapool_operator.decide.pools.pool_status import pool_status
from lorapool_operator.seen.views import PodTrouble, PodView, Problem

OLD = op.pod("old", replica_set="old")
LOADING = BaseState(phase=BasePhase.LOADING)
TORN = {"spec": {"containers": [{"name": "runtime", "command": ["sleep"]}]}}


def new(problem: Problem | None = None, **fields: Any) -> PodView:
    return op.pod("new", replica_set="new", ready=False, problem=problem, **fields)


def conditions(*pods: PodView, base: BaseState | None = None, **fields: Any) -> dict[str, Condition]:
    reports = {"old": op.report()} | ({"new": op.report(base)} if base else {})
    plain: dict[str, Any] = {"pool": op.pool(), "pods": pods, "reports": reports, "newest": "new"}
    seen = op.seen(**plain | fields)
    assert seen.pool is not None
    return {c.type: c for c in pool_status(seen.pool, seen, AdapterCounts()).conditions}


def progressing(*pods: PodView, base: BaseState | None = None, **fields: Any) -> tuple[str, str, str]:
    found = conditions(*pods, base=base, **fields)["Progressing"]
    return found.status, found.reason, found.message


def test_a_roll_out_says_that_there_is_no_free_gpu() -> None:
    words = "0/3 nodes are available: 2 Insufficient memory, 3 Insufficient nvidia.com/gpu."
    problem = Problem(PodTrouble.UNSCHEDULABLE, "Unschedulable", words)
    status, reason, message = progressing(OLD, new(problem))
    assert (status, reason) == ("True", Reason.ROLLING_OUT)
    assert message == (
        "0 of 1 pods of the newest template take requests; 1 of an older one are still there; "
        f"no free GPU (nvidia.com/gpu) for a pod: {words}"
    )


def test_a_roll_out_says_that_a_quota_is_used_up() -> None:
    full = op.deployment(failure="pods is forbidden: exceeded quota: gpus")
    assert "a pod cannot be made: pods is forbidden: exceeded quota: gpus" in progressing(OLD, deployment=full)[2]


@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff", "CreateContainerConfigError"])
def test_a_roll_out_says_that_an_image_cannot_be_pulled(reason: str) -> None:
    problem = Problem(PodTrouble.CONTAINER, reason, 'Back-off pulling image "runtime:2"')
    found = conditions(OLD, new(problem))
    assert found["Progressing"].is_true, "a registry that is away may come back"
    assert f'{reason}: Back-off pulling image "runtime:2"' in found["Progressing"].message
    assert (found["Degraded"].status, found["Degraded"].reason) == ("True", Reason.POD_FAILED)


def test_a_roll_out_says_that_the_base_is_loading_and_then_that_adapters_are_brought() -> None:
    assert progressing(OLD, new(), base=LOADING)[2].endswith("; 1 loads the base model")
    assert progressing(OLD, new(), base=op.WARM)[2].endswith("adapters that the old pods hold are brought")


def test_a_new_pod_that_crashes_ends_the_progress_with_its_last_words_and_the_old_one_serves_on() -> None:
    said = "Error with exit code 1: lorapool runtime: CacheNotWritable: user 65532 cannot write to the cache folder"
    found = conditions(OLD, new(Problem(PodTrouble.CONTAINER, "CrashLoopBackOff", said)))
    assert (found["Progressing"].status, found["Progressing"].reason) == ("False", Reason.CACHE_NOT_WRITABLE)
    assert found["Progressing"].message.endswith(
        "it does not get there: user 65532 cannot write to the cache folder (pod new)"
    )
    assert found["Available"].is_true
    assert not found["Ready"].is_true


def test_a_base_that_a_new_pod_cannot_load_ends_the_progress() -> None:
    failed = BaseState(phase=BasePhase.FAILED, reason=Reason.MODEL_LOAD_FAILED, message="no model_index.json")
    status, reason, message = progressing(OLD, new(), base=failed)
    assert (status, reason) == ("False", Reason.MODEL_LOAD_FAILED)
    assert "no model_index.json (pod new)" in message


def test_a_source_that_is_away_for_now_does_not() -> None:
    away = BaseState(phase=BasePhase.FAILED, reason=Reason.SOURCE_UNAVAILABLE, message="the Hub does not answer")
    status, _, message = progressing(OLD, new(), base=away)
    assert status == "True"
    assert "the Hub does not answer" in message


def test_trouble_of_an_old_pod_does_not_end_the_progress() -> None:
    crashing = op.pod(
        "old", replica_set="old", ready=False, problem=Problem(PodTrouble.CONTAINER, "CrashLoopBackOff", "")
    )
    assert progressing(crashing, new(), base=LOADING)[0] == "True"


def test_a_roll_out_in_which_nothing_moves_is_over_and_says_what_it_waited_for() -> None:
    problem = Problem(PodTrouble.UNSCHEDULABLE, "Unschedulable", "3 node(s) had untolerated taint")
    status, reason, message = progressing(OLD, new(problem), deployment=op.deployment(is_late=True))
    assert (status, reason) == ("False", Reason.PROGRESS_DEADLINE_EXCEEDED)
    assert message.startswith("nothing has moved for 3600 s; 0 of 1 pods of the newest template take requests")
    assert message.endswith("no node for a pod: 3 node(s) had untolerated taint")


def test_a_pool_whose_pods_are_all_there_is_not_late_whatever_was_before() -> None:
    only = op.pod("old", replica_set="new")
    assert progressing(only, deployment=op.deployment(is_late=True))[:2] == ("False", Reason.STABLE)


def test_a_template_of_which_no_pods_can_be_made_is_no_progress() -> None:
    found = conditions(OLD, pool=op.pool(template=TORN), newest="old")
    for type_ in ("Progressing", "Ready"):
        assert (found[type_].status, found[type_].reason) == ("False", Reason.INVALID_SPEC)
    assert (found["Degraded"].status, found["Degraded"].reason) == ("True", Reason.INVALID_SPEC)
    assert "podTemplate.spec.containers" in found["Degraded"].message
    assert found["Available"].is_true


def test_a_deployment_whose_roll_outs_somebody_paused_is_said_to_be() -> None:
    message = progressing(OLD, deployment=op.deployment(is_paused=True))[2]
    assert message.endswith("its Deployment is paused: kubectl rollout resume deployment shapes-runtime")


def test_an_event_tells_that_a_roll_out_is_late() -> None:
    moving, late = (
        PoolStatus(conditions=tuple(conditions(OLD, new(), deployment=op.deployment(is_late=is_late)).values()))
        for is_late in (False, True)
    )
    before, after = (op.pool().model_copy(update={"status": status}) for status in (moving, late))
    (event,) = pool_events(before, late)
    assert (event.reason, event.is_warning) == (Reason.PROGRESS_DEADLINE_EXCEEDED, True)
    assert pool_events(after, late) == ()
