"""When a container is started again: back-off, and what is known after the node was away."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from lorapool_local.config import BackOffConfig
from lorapool_local.node.back_off import BackOff
from lorapool_local.node.reports.previous_run import previous_run
from lorapool_local.node.spec.pod import ReportedContainerStatus


def test_the_pause_doubles_up_to_the_maximum() -> None:
    back_off = BackOff(BackOffConfig())

    assert [back_off.after_run(1) for _ in range(8)] == [0, 10, 20, 40, 80, 160, 300, 300]


def test_a_long_run_starts_the_pauses_over() -> None:
    back_off = BackOff(BackOffConfig())
    for _ in range(5):
        back_off.after_run(1)

    assert [back_off.after_run(600), back_off.after_run(1)] == [0, 10]


def test_a_missing_image_is_waited_for_from_the_first_time() -> None:
    back_off = BackOff(BackOffConfig())

    assert [back_off.after_failed_start() for _ in range(3)] == [10, 20, 40]


@given(st.lists(st.floats(0, 1000)))
def test_a_pause_is_never_longer_than_the_maximum(runs: list[float]) -> None:
    back_off = BackOff(BackOffConfig(initial_s=7, maximum_s=50))

    assert all(0 <= back_off.after_run(run) <= 50 for run in runs)


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
