"""When a container is started again: back-off, and what is known after the node was away."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorapool_local.config import BackoffConfig
from lorapool_local.node.containers.process import Exit
from lorapool_local.node.containers.restarts import CrashBackoff, is_restarted, restart_policy
from lorapool_local.node.reports.previous_run import previous_run
from lorapool_local.node.spec.pod import ReportedContainerStatus


def test_the_pause_doubles_up_to_the_maximum() -> None:
    backoff = CrashBackoff(BackoffConfig())

    assert [backoff.after_run(1) for _ in range(8)] == [0, 10, 20, 40, 80, 160, 300, 300]


def test_a_long_run_starts_the_pauses_over() -> None:
    backoff = CrashBackoff(BackoffConfig())
    for _ in range(5):
        backoff.after_run(1)

    assert [backoff.after_run(600), backoff.after_run(1)] == [0, 10]


@given(st.lists(st.floats(0, 1000)))
def test_a_pause_is_never_longer_than_the_maximum(runs: list[float]) -> None:
    backoff = CrashBackoff(BackoffConfig(initial_s=7, maximum_s=50))

    assert all(0 <= backoff.after_run(run) <= 50 for run in runs)


@pytest.mark.parametrize(
    ("outcome", "restarted_by"),
    [
        (Exit(0), {"Always"}),
        (Exit(1), {"Always", "OnFailure"}),
        (Exit(0, signal=9), {"Always", "OnFailure"}),
        (Exit(0, error="no such program"), {"Always", "OnFailure"}),
    ],
)
def test_the_policy_says_whether_a_container_is_started_again(outcome: Exit, restarted_by: set[str]) -> None:
    assert {policy for policy in ("Always", "OnFailure", "Never") if is_restarted(policy, outcome)} == restarted_by


@pytest.mark.parametrize(
    ("of_pod", "of_container", "as_init"),
    [
        ("Always", None, "OnFailure"),
        ("OnFailure", None, "OnFailure"),
        ("Never", None, "Never"),
        ("Never", "Always", "Always"),
    ],
)
def test_an_init_container_runs_once_unless_it_is_a_sidecar(
    of_pod: str, of_container: str | None, as_init: str
) -> None:
    assert restart_policy(of_pod, of_container, is_init=True) == as_init
    assert restart_policy(of_pod, of_container, is_init=False) == of_pod


def status(**state: object) -> tuple[ReportedContainerStatus, ...]:
    return (ReportedContainerStatus(name="main", restart_count=2, state=dict(state)),)


STARTED = {"startedAt": "2026-01-01T12:00:00Z"}


def test_a_container_that_ran_when_the_node_went_was_killed() -> None:
    previous = previous_run("main", status(running=STARTED), "Always")

    assert previous.ended is not None
    assert (previous.ended.exit_code, previous.ended.reason) == (137, "ContainerStatusUnknown")
    assert previous.ended.started_at == datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert (previous.restart_count, previous.is_final) == (2, False)


def test_what_never_restarts_is_over_when_the_node_comes_back() -> None:
    assert previous_run("main", status(running=STARTED), "Never").is_final


def test_what_succeeded_does_not_run_again() -> None:
    done = status(terminated={"exitCode": 0, "reason": "Completed"})

    assert previous_run("main", done, "OnFailure").is_final
    assert not previous_run("main", done, "Always").is_final


def test_a_container_that_never_started_has_no_past() -> None:
    assert previous_run("main", status(waiting={"reason": "ImagePullBackOff"}), "Never").ended is None
    assert previous_run("other", status(running=STARTED), "Always").ended is None
