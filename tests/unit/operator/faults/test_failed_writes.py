"""When a write that failed is tried again."""

import pytest
from tests.unit.operator.context import Clock

from lorapool_common.backoff import MOST_ASKED_S
from lorapool_common.kube.errors import ApiError
from lorapool_operator.reconcile.failed_writes import FailedWrites, Write


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def failures(clock: Clock) -> FailedWrites:
    return FailedWrites(clock)


def write(version: str = "1") -> Write:
    return Write("status", "uid", 1, version, {"summary": "Served"})


def too_many(retry_after_s: float) -> ApiError:
    return ApiError(429, "TooManyRequests", "slow down", retry_after_s=retry_after_s)


def test_a_write_waits_for_as_long_as_the_api_server_asks(clock: Clock, failures: FailedWrites) -> None:
    assert failures.failed(write(), too_many(7.0)) == 7.0
    clock.s += 6.9
    assert failures.wait_s(write()) == pytest.approx(0.1)
    clock.s += 0.1
    assert failures.wait_s(write()) == pytest.approx(0.0)


def test_it_waits_so_long_also_when_its_object_changed(clock: Clock, failures: FailedWrites) -> None:
    failures.failed(write(), too_many(7.0))
    assert failures.wait_s(write("2")) == 7.0
    failures.failed(write(), ApiError(500, "InternalError", "oops"))
    assert failures.wait_s(write("2")) == 0.0


def test_nobody_waits_for_ever_because_he_was_asked_to(failures: FailedWrites) -> None:
    assert failures.failed(write(), too_many(1e9)) == MOST_ASKED_S
