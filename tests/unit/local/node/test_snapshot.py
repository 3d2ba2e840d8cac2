"""What is known of a container after each event."""

from datetime import UTC, datetime

import pytest

from lorapool_local.node.reports.snapshot import ContainerRunning, ContainerSnapshot, ContainerTerminated
from lorapool_local.node.spec.container import Container
from lorapool_local.node.spec.probe import Probe

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NEW = ContainerSnapshot("main", "image", ContainerRunning(NOW))


@pytest.mark.parametrize(
    ("container", "started", "ready"),
    [
        (Container(name="main"), True, True),
        (Container(name="main", readiness_probe=Probe()), True, False),
        (Container(name="main", startup_probe=Probe()), False, False),
    ],
)
def test_what_is_not_probed_is_started_and_ready_at_once(container: Container, started: bool, ready: bool) -> None:
    running = NEW.running(2, NOW, "id", container)

    assert (running.started, running.ready) == (started, ready)
    assert (running.restart_count, running.container_id) == (2, "id")


def test_a_run_before_is_the_last_state_once_another_follows() -> None:
    state = ContainerTerminated(1, "Error", NOW, NOW)

    assert NEW.ended(state, restarting=True, is_init=False).last_state == state
    assert NEW.ended(state, restarting=False, is_init=False).last_state is None


@pytest.mark.parametrize(
    ("code", "restarting", "is_init", "ready"),
    [(0, False, True, True), (0, True, True, False), (1, False, True, False), (0, False, False, False)],
)
def test_only_an_init_container_is_ready_when_it_has_succeeded(
    code: int, restarting: bool, is_init: bool, ready: bool
) -> None:
    state = ContainerTerminated(code, "", NOW, NOW)

    assert NEW.ended(state, restarting=restarting, is_init=is_init).ready == ready


def test_what_waits_is_not_ready() -> None:
    waiting = NEW.running(0, NOW, "id", Container(name="main")).waiting("CrashLoopBackOff", "back-off 10s")

    assert (waiting.started, waiting.ready) == (False, False)
