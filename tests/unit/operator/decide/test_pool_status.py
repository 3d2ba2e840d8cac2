"""What the status of a pool says."""

from dataclasses import replace
from typing import Any

from tests import make
from tests.unit.operator import make as op

from lorapool_api.kinds.conditions import Reason
from lorapool_api.kinds.pool import AdapterCounts, Pool, PoolStatus
from lorapool_api.wire.state import BasePhase, BaseState, LimitShortfall, SleepState
from lorapool_operator.decide.events import pool_events
from lorapool_operator.decide.pools.pool_status import pods_by_state, pool_status
from lorapool_operator.seen.observed import Observed
from lorapool_operator.seen.parse import deployment_view
from lorapool_operator.seen.verdict import Verdict
from lorapool_operator.seen.views import PodTrouble, Problem

LOADING = BaseState(phase=BasePhase.LOADING, message="fetching 3 of 7 GB")
FAILED = BaseState(phase=BasePhase.FAILED, reason=Reason.MODEL_LOAD_FAILED, message="no model_index.json")
NOT_READY: dict[str, Any] = {"ready": False}


def of(snapshot: Observed) -> PoolStatus:
    assert snapshot.pool is not None
    return pool_status(snapshot.pool, snapshot, AdapterCounts())


def says(made: PoolStatus) -> dict[str, tuple[str, str]]:
    return {c.type: (c.status, c.reason) for c in made.conditions}


def test_a_pool_whose_pods_take_requests_is_ready() -> None:
    made = of(op.seen(pool=op.pool()))
    assert says(made) == {
        "Ready": ("True", "Available"),
        "Available": ("True", "Available"),
        "Progressing": ("False", "Stable"),
        "Degraded": ("False", "Stable"),
    }
    assert (made.replicas, made.ready_replicas) == (1, 1)
    assert made.url == "http://shapes-runtime.default.svc:8080"
    assert made.selector == "app.kubernetes.io/name=lorapool-runtime,lorapool.dev/pool=shapes"


def test_with_some_of_its_pods_it_is_available_but_not_ready() -> None:
    snapshot = op.seen(
        pool=op.pool(replicas=2),
        reports={"a": op.report(), "b": op.report(LOADING)},
        pods=(op.pod("a"), op.pod("b", **NOT_READY)),
        deployment=op.deployment(replicas=2, updated=2),
    )
    made = says(of(snapshot))
    assert made["Available"] == ("True", "Available")
    assert made["Ready"] == ("False", "Starting")
    assert made["Progressing"] == ("True", "Starting")


def test_a_roll_out_shows_as_progress() -> None:
    made = of(op.seen(pool=op.pool(), deployment=op.deployment(generation=2)))
    assert says(made)["Progressing"] == ("True", "RollingOut")
    assert says(made)["Available"] == ("True", "Available")


def test_how_far_the_base_is_can_be_read() -> None:
    snapshot = op.seen(pool=op.pool(), reports={"a": op.report(LOADING)}, pods=(op.pod("a", **NOT_READY),))
    made = of(snapshot)
    assert says(made)["Available"] == ("False", "Starting")
    assert "fetching 3 of 7 GB" in op.condition(made.conditions, "Available").message


def test_a_base_that_cannot_be_loaded_degrades_the_pool() -> None:
    snapshot = op.seen(pool=op.pool(), reports={"a": op.report(FAILED)}, pods=(op.pod("a", **NOT_READY),))
    made = of(snapshot)
    assert says(made)["Degraded"] == ("True", "ModelLoadFailed")
    assert says(made)["Ready"] == ("False", "ModelLoadFailed")
    assert op.condition(made.conditions, "Degraded").message == "no model_index.json (pod a)"


def test_a_limit_that_does_not_fit_is_told_and_takes_nothing_from_ready() -> None:
    shortfall = LimitShortfall(pixels=2_359_296, fits=1_048_576)
    warm = BaseState(phase=BasePhase.WARM, revision="rev", shortfall=shortfall)
    made = of(op.seen(pool=op.pool(), reports={"p-1": op.report(warm)}))
    assert says(made)["Ready"] == ("True", "Available")
    assert says(made)["Degraded"] == ("True", "LimitsDoNotFit")
    message = op.condition(made.conditions, "Degraded").message
    assert message == "limits.pixels 2359296 does not fit the device's memory: up to 1048576 fit (pod p-1)"


def sleeping(**sleep: Any) -> PoolStatus:
    """Of a pool whose pods may sleep, and one of two says this."""
    scaling = {"minReplicas": 0, "maxReplicas": 2, "sleep": True}
    reports = {"a": replace(op.report(), sleep=SleepState(**sleep)), "b": op.report()}
    return of(op.seen(pool=op.pool(replicas=2, scaling=scaling), reports=reports, pods=(op.pod("a"), op.pod("b"))))


def test_pods_that_sleep_take_requests_and_are_counted() -> None:
    made = sleeping(asleep=True)
    assert (made.ready_replicas, made.sleeping_replicas) == (2, 1)
    assert says(made)["Available"] == ("True", "Available")
    message = op.condition(made.conditions, "Available").message
    assert message == "2 of 2 pods take requests; the base of 1 waits in host memory until a request comes"
    assert sleeping().sleeping_replicas == 0
    assert of(op.seen(pool=op.pool())).sleeping_replicas is None


def test_a_pod_that_cannot_sleep_says_why_and_takes_nothing_from_ready() -> None:
    made = sleeping(problem="the base takes 7 bytes, and host memory has room for 5")
    assert says(made)["Degraded"] == ("True", "SleepFailed")
    message = op.condition(made.conditions, "Degraded").message
    assert message == "pod a: the base takes 7 bytes, and host memory has room for 5"
    assert says(made)["Available"] == ("True", "Available")


def test_no_replicas_is_no_failure() -> None:
    made = of(op.seen(pool=op.pool(replicas=0), reports={}, deployment=op.deployment(replicas=0, updated=0)))
    assert says(made)["Available"] == ("False", "ScaledToZero")
    assert says(made)["Degraded"] == ("False", "Stable")
    assert says(made)["Progressing"] == ("False", "Stable")


def test_a_pod_that_no_node_can_take_shows_as_progress_with_the_schedulers_words() -> None:
    problem = Problem(
        PodTrouble.UNSCHEDULABLE, "Unschedulable", "0/3 nodes are available: 3 Insufficient nvidia.com/gpu"
    )
    waiting = op.pod("a", ready=False, ip=None, phase="Pending", problem=problem)
    made = of(op.seen(pool=op.pool(), reports={}, pods=(waiting,)))
    assert "Insufficient nvidia.com/gpu" in op.condition(made.conditions, "Progressing").message
    assert "Insufficient nvidia.com/gpu" in op.condition(made.conditions, "Available").message
    assert says(made)["Degraded"] == ("False", "Stable")


def test_objects_that_the_api_server_refuses_degrade_the_pool() -> None:
    refusal = Verdict(Reason.INVALID_SPEC, "spec.template.spec.nodeSelector: Invalid value")
    made = of(op.seen(pool=op.pool(), refusal=refusal))
    assert says(made)["Degraded"] == ("True", "InvalidSpec")


def test_what_was_known_of_the_base_stays_when_the_pods_go() -> None:
    first = of(op.seen(pool=op.pool()))
    assert first.model is not None
    assert (first.model.revision, first.last_cold_start_seconds) == ("rev", 2.0)
    asleep = op.pool(replicas=0).model_copy(update={"status": first})
    made = pool_status(asleep, op.seen(pool=asleep, reports={}), AdapterCounts())
    assert made.model == first.model
    assert made.last_cold_start_seconds == 2.0


def test_a_status_that_says_the_same_is_equal_with_its_times() -> None:
    first = of(op.seen(pool=op.pool()))
    again = op.pool().model_copy(update={"status": PoolStatus.model_validate(first.manifest())})
    assert of(op.seen(pool=again, now=op.at(9999))) == first


def with_status(status: PoolStatus) -> Pool:
    return op.pool().model_copy(update={"status": status})


def test_events_tell_when_a_pool_becomes_available_or_breaks() -> None:
    nothing, good = PoolStatus(), of(op.seen(pool=op.pool()))
    broken = of(op.seen(pool=op.pool(), reports={"a": op.report(FAILED)}, pods=(op.pod("a", **NOT_READY),)))
    starting = of(op.seen(pool=op.pool(), reports={}))
    assert [(n.reason, n.is_warning) for n in pool_events(with_status(nothing), good)] == [("Available", False)]
    assert pool_events(with_status(nothing), starting) == ()
    assert pool_events(with_status(good), good) == ()
    assert {(n.reason, n.is_warning) for n in pool_events(with_status(good), broken)} == {("ModelLoadFailed", True)}


def test_a_process_that_names_its_reason_when_it_ends_is_believed() -> None:
    said = "Error with exit code 1: lorapool runtime: CacheNotWritable: user 65532 cannot write to the cache folder"
    pod = op.pod("a", ready=False, problem=Problem(PodTrouble.CONTAINER, "CrashLoopBackOff", said))
    status = of(op.seen(pool=op.pool(), reports={}, pods=(pod,)))
    degraded = op.condition(status.conditions, "Degraded")
    assert (degraded.status, degraded.reason) == ("True", "CacheNotWritable")
    assert degraded.message == "user 65532 cannot write to the cache folder (pod a)"


def test_pods_are_counted_by_state() -> None:
    pending = op.pod("c", ready=False, ip=None, phase="Pending")
    crashing = op.pod("d", ready=False, problem=Problem(PodTrouble.CONTAINER, "CrashLoopBackOff", ""))
    snapshot = op.seen(
        pool=op.pool(),
        reports={"a": op.report(), "b": op.report(LOADING)},
        pods=(op.pod("a"), op.pod("b", ready=False), pending, crashing, op.pod("e", terminating=True)),
    )
    assert pods_by_state(snapshot) == {"ready": 1, "warm": 0, "loading": 1, "failed": 1, "pending": 1}


def test_a_deployment_that_may_not_make_pods_tells_why() -> None:
    view = deployment_view(
        {
            "metadata": {"name": "d", "namespace": "n", "uid": "u", "generation": 3},
            "spec": {"replicas": 2},
            "status": {
                "observedGeneration": 3,
                "conditions": [{"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}],
            },
        }
    )
    assert view.failure == "exceeded quota"
    made = of(op.seen(pool=op.pool(), reports={}, deployment=view))
    assert says(made)["Degraded"] == ("True", "PodFailed")


def test_pods_that_know_another_token_are_told_of_and_not_the_base() -> None:
    """An operator that was installed anew has another key; a kubelet brings the new token within about a minute."""
    deaf = op.report(None, reachable=False, accepts_token=False)
    adapter = make.adapter()
    snapshot = op.seen(adapter, pool=op.pool(), reports={"p-1": deaf})

    status = op.statuses(snapshot)[adapter.key]
    of_pool = pool_status(op.pool(), snapshot, AdapterCounts())

    assert status.summary == Reason.CONTROL_TOKEN_REFUSED
    ready = op.condition(status.conditions, "Ready")
    assert "do not accept this operator's token" in ready.message
    assert "base model" not in ready.message
    progressing = op.condition(of_pool.conditions, "Progressing")
    assert (progressing.status, progressing.reason) == ("True", Reason.CONTROL_TOKEN_REFUSED)
    assert op.condition(of_pool.conditions, "Available").is_true
