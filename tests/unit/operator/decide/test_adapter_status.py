"""What the status of an adapter says."""

from typing import Any

import pytest
from tests import make
from tests.unit.operator import make as op

from lorapool_api.kinds.adapter import Adapter, AdapterFormat, AdapterStatus
from lorapool_api.kinds.conditions import AdapterCondition, Reason
from lorapool_api.wire.state import AdapterFileFacts, AdapterPhase, AdapterState, BasePhase, BaseState
from lorapool_operator.decide.adapters.decisions import AdapterDecisions
from lorapool_operator.decide.events import adapter_events
from lorapool_operator.seen.observed import Observed
from lorapool_operator.seen.resolution import Resolution, Resolving, Unresolved
from lorapool_operator.seen.verdict import Verdict

LOADING = BaseState(phase=BasePhase.LOADING)
FACTS = AdapterFileFacts(sha256="c" * 64, size_bytes=9, rank=8, targets=3, format=AdapterFormat.KOHYA)


def status(snapshot: Observed) -> AdapterStatus:
    return op.statuses(snapshot)["default/pixel"]


def states(made: AdapterStatus) -> list[tuple[str, str, str]]:
    return [(c.type, c.status, c.reason) for c in made.conditions]


def of(adapter: Adapter, **reports: Any) -> AdapterStatus:
    return status(op.seen(adapter, pool=op.pool(), reports=reports or None))


def test_served_when_a_warm_pod_has_it() -> None:
    made = of(make.adapter(), a=op.report(pixel=op.state()), b=op.report())
    assert states(made) == [
        ("Accepted", "True", "Accepted"),
        ("Resolved", "True", "Resolved"),
        ("Compatible", "True", "Compatible"),
        ("Ready", "True", "Served"),
        ("UpToDate", "True", "UpToDate"),
    ]
    assert op.condition(made.conditions, "Ready").message == "held by 1 of 2 pods"
    assert made.summary == "Served"
    assert made.pods is not None
    assert (made.pods.ready, made.pods.total) == (1, 2)


def test_words_about_an_earlier_generation_say_nothing_about_this_one() -> None:
    edited = make.adapter(metadata={"generation": 2})
    made = of(edited, a=op.report(pixel=op.state(generation=1)))
    assert op.condition(made.conditions, AdapterCondition.READY).status == "False"
    assert made.summary == "Loading"
    assert made.observed_generation == 2


def test_a_pod_that_is_not_warm_serves_nothing() -> None:
    made = of(make.adapter(), a=op.report(LOADING, pixel=op.state()))
    assert made.summary == "WaitingForPods"
    assert made.conditions[-1].message == "1 pod of pool default/shapes is loading the base model"


def test_a_pod_that_fell_silent_counts_while_the_kubelet_finds_it_ready() -> None:
    silent = op.report(reachable=False, pixel=op.state())
    snapshot = op.seen(make.adapter(), pool=op.pool(), reports={"a": silent})
    assert status(snapshot).summary == "Served"
    unready = op.seen(make.adapter(), pool=op.pool(), reports={"a": silent}, pods=(op.pod("a", ready=False),))
    assert status(unready).summary == "WaitingForPods"


@pytest.mark.parametrize(
    ("phase", "summary"), [(AdapterPhase.DOWNLOADING, "Downloading"), (AdapterPhase.LOADING, "Loading")]
)
def test_what_pods_are_doing_is_told(phase: AdapterPhase, summary: str) -> None:
    made = of(make.adapter(), a=op.report(pixel=op.state(phase)))
    assert made.summary == summary
    # Only the pods can see the file of a path, so its facts are still open.
    assert states(made)[1] == ("Resolved", "Unknown", summary)


@pytest.mark.parametrize(
    ("reason", "condition"),
    [
        (Reason.CHECKSUM_MISMATCH, "Resolved"),
        (Reason.INVALID_WEIGHTS, "Resolved"),
        (Reason.SOURCE_NOT_FOUND, "Resolved"),
        (Reason.BASE_MODEL_MISMATCH, "Compatible"),
        (Reason.RANK_TOO_HIGH, "Compatible"),
        (Reason.INTERNAL_ERROR, "Ready"),
    ],
)
def test_what_all_pods_fail_with_is_the_reason(reason: Reason, condition: str) -> None:
    failed = op.state(AdapterPhase.FAILED, reason=reason, message="because")
    made = of(make.adapter(), a=op.report(pixel=failed))
    found = op.condition(made.conditions, condition)
    assert (found.status, found.reason, found.message) == ("False", reason, "because (pod a)")
    assert op.condition(made.conditions, "Ready").status == "False"
    assert made.summary == reason


def test_one_failed_pod_is_listed_while_another_serves() -> None:
    failed = op.state(AdapterPhase.FAILED, reason=Reason.INVALID_WEIGHTS, message="NaN")
    made = of(make.adapter(), a=op.report(pixel=failed), b=op.report(pixel=op.state()))
    assert made.summary == "Served"
    assert made.pods is not None
    assert [(f.pod, f.reason) for f in made.pods.failed] == [("a", "InvalidWeights")]


def test_a_list_of_failures_without_any_is_not_in_the_status() -> None:
    made = of(make.adapter(), a=op.report(pixel=op.state()))
    assert made.manifest()["pods"] == {"ready": 1, "total": 1, "copies": 2}


def test_copies_that_found_no_room_are_told_of_the_adapter_and_of_the_pool() -> None:
    snapshot = op.seen(make.adapter(), make.adapter("oil"), pool=op.pool(), reports={"a": op.report()})
    found = op.statuses(snapshot, copies=1, unplaced=2)
    assert found["default/pixel"].manifest()["pods"] == {"ready": 0, "total": 1, "copies": 1, "unplaced": 2}
    counts = op.counts(found.values())
    assert (counts.copies, counts.unplaced) == (2, 4)


def test_at_most_ten_failed_pods_are_named() -> None:
    failed = op.state(AdapterPhase.FAILED, reason=Reason.INVALID_WEIGHTS, message="NaN")
    made = of(make.adapter(), **{f"p{i:02}": op.report(pixel=failed) for i in range(12)})
    assert made.pods is not None
    assert len(made.pods.failed) == 10


def test_a_refused_adapter_is_false_there_unknown_behind_and_not_ready() -> None:
    verdict = Verdict(Reason.NOT_A_LORA, "a whole model")
    made = status(op.seen(make.adapter(), pool=op.pool(), outcome=Unresolved(verdict)))
    assert states(made) == [
        ("Accepted", "True", "Accepted"),
        ("Resolved", "False", "NotALora"),
        ("Compatible", "Unknown", "NotALora"),
        ("Ready", "False", "NotALora"),
        ("UpToDate", "Unknown", "NotALora"),
    ]


def test_what_is_still_being_looked_at_is_unknown_not_false() -> None:
    made = status(op.seen(make.adapter(), pool=op.pool(), outcome=Resolving()))
    assert states(made)[1] == ("Resolved", "Unknown", "Resolving")


def test_facts_come_from_the_pods_where_only_they_see_the_file() -> None:
    made = of(make.adapter(), a=op.report(pixel=op.state(facts=FACTS)))
    assert made.resolved is not None
    assert (made.resolved.sha256, made.resolved.rank, made.resolved.format) == ("c" * 64, 8, "kohya")


def test_facts_stay_when_the_pods_go() -> None:
    first = of(make.adapter(), a=op.report(pixel=op.state(facts=FACTS)))
    later = make.adapter().model_copy(update={"status": first})
    snapshot = op.seen(later, pool=op.pool(), reports={})
    made = status(snapshot)
    assert made.resolved == first.resolved
    assert made.summary == "WaitingForPods"
    assert states(made)[1][1] == "True"


def test_facts_of_an_earlier_generation_that_was_never_served_are_dropped() -> None:
    first = of(make.adapter(), a=op.report(pixel=op.state(AdapterPhase.LOADING, facts=FACTS)))
    edited = make.adapter(metadata={"generation": 2}).model_copy(update={"status": first})
    assert status(op.seen(edited, pool=op.pool(), reports={})).resolved is None


def test_a_status_that_says_the_same_is_equal_with_its_times() -> None:
    snapshot = op.seen(make.adapter(), pool=op.pool(), reports={"a": op.report(pixel=op.state())})
    first = status(snapshot)
    again = make.adapter().model_copy(update={"status": first})
    later = op.seen(again, pool=op.pool(), reports={"a": op.report(pixel=op.state())}, now=op.at(9999))
    assert status(later) == first
    # What is read back from the API server is the same value, so that nothing is written twice.
    assert AdapterStatus.model_validate(first.manifest()) == first


def test_times_move_only_when_a_status_changes() -> None:
    first = of(make.adapter(), a=op.report(pixel=op.state(AdapterPhase.LOADING)))
    later = make.adapter().model_copy(update={"status": first})
    snapshot = op.seen(later, pool=op.pool(), reports={"a": op.report(pixel=op.state())}, now=op.at(9999))
    made = status(snapshot)
    assert op.condition(made.conditions, "Accepted").last_transition_time == first.conditions[0].last_transition_time
    assert op.condition(made.conditions, "Ready").last_transition_time == op.at(9999)


def test_pods_on_their_way_out_are_not_counted() -> None:
    terminating = op.pod("b", terminating=True)
    snapshot = op.seen(
        make.adapter(),
        pool=op.pool(),
        reports={"a": op.report(pixel=op.state()), "b": op.report(pixel=op.state())},
        pods=(op.pod("a"), terminating),
    )
    pods = status(snapshot).pods
    assert pods is not None
    assert (pods.ready, pods.total) == (1, 1)


def test_an_adapter_without_a_pool_says_so_in_every_column() -> None:
    made = status(op.seen(make.adapter(), pool=None, reports={}))
    assert made.summary == "PoolNotFound"
    assert made.pool_name == "default/shapes"
    assert made.pods is None


def test_statuses_are_made_anew_only_for_what_changed() -> None:
    decisions = AdapterDecisions()
    reports = {"a": op.report(pixel=op.state(AdapterPhase.LOADING), other=op.state())}
    snapshot = op.seen(make.adapter(), make.adapter("other"), pool=op.pool(), reports=reports)
    first = op.statuses(snapshot, decisions)
    moved = {"a": op.report(pixel=op.state(), other=reports["a"].adapters["default/other"])}
    second = op.statuses(op.seen(*snapshot.adapters, pool=op.pool(), reports=moved, now=op.at(9999)), decisions)
    assert second["default/other"] is first["default/other"]
    assert second["default/pixel"].summary == "Served"
    cold = op.statuses(op.seen(*snapshot.adapters, pool=op.pool(), reports={"a": op.report(LOADING)}), decisions)
    assert cold["default/other"].summary == "WaitingForPods"


def with_status(status: AdapterStatus) -> Adapter:
    return make.adapter().model_copy(update={"status": status})


def test_events_tell_of_what_lasts_and_only_once() -> None:
    nothing = AdapterStatus()
    served = of(make.adapter(), a=op.report(pixel=op.state()))
    loading = of(make.adapter(), a=op.report(pixel=op.state(AdapterPhase.LOADING)))
    refused = status(
        op.seen(make.adapter(), pool=op.pool(), outcome=Unresolved(Verdict(Reason.NOT_A_LORA, "a whole model")))
    )
    assert [(n.reason, n.is_warning) for n in adapter_events(with_status(refused), served)] == [("Served", False)]
    assert adapter_events(with_status(nothing), served) == ()
    assert adapter_events(with_status(loading), served) == ()
    assert [(n.reason, n.is_warning) for n in adapter_events(with_status(served), refused)] == [("NotALora", True)]
    assert adapter_events(with_status(served), served) == ()
    assert adapter_events(with_status(nothing), loading) == ()


def test_a_hub_file_is_named_with_its_commit() -> None:
    found = Resolution(revision="c" * 40, file="x.safetensors", sha256="d" * 64, size_bytes=5)
    hub = make.adapter(source={"hub": {"repo": "a/b"}})
    made = status(op.seen(hub, pool=op.pool(), outcome=found))
    assert made.resolved is not None
    assert (made.resolved.revision, made.resolved.file) == ("c" * 40, "x.safetensors")


def test_a_pod_that_speaks_of_one_adapter_changes_no_other_status() -> None:
    decisions, one, two = AdapterDecisions(), make.adapter("one"), make.adapter("two")
    loading = op.state(AdapterPhase.LOADING)

    def said(**adapters: Any) -> Observed:
        return op.seen(one, two, pool=op.pool(), reports={"p-1": op.report(**adapters)})

    before = op.statuses(said(one=loading, two=loading), decisions)
    after = op.statuses(said(one=op.state(), two=loading), decisions)

    assert after["default/one"].summary == Reason.SERVED
    assert after["default/two"] is before["default/two"]
    assert op.statuses(said(two=loading), decisions)["default/one"].summary == Reason.LOADING


def test_a_pod_that_says_what_nobody_foresaw_of_one_adapter_takes_no_status_from_the_others() -> None:
    odd = AdapterState.model_construct(
        phase=AdapterPhase.FAILED,
        tier="remote",
        generation=1,
        reason="two words",
        message="x" * 40_000,
        facts=None,
    )
    bad, good = make.adapter("bad"), make.adapter("good")
    statuses = op.statuses(op.seen(bad, good, pool=op.pool(), reports={"p-1": op.report(bad=odd, good=op.state())}))

    assert statuses["default/good"].summary == Reason.SERVED
    assert statuses["default/bad"].summary == Reason.INTERNAL_ERROR
