"""Work in a process of its own: what is over its bounds ends there, and the next request is answered."""

import os
import sys
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from pathlib import Path

import pytest

from lorapool_common.bounded.worker import BoundedWorker, OverBounds, WorkerUnavailable

DEADLINE_S = 120.0
# An isolated interpreter does not find what is not installed: these tests.
INTERPRETER = ("/usr/bin/env", f"PYTHONPATH={Path.cwd()}", sys.executable)


def answered(reply: Future[bytes]) -> bytes:
    return reply.result(DEADLINE_S)


def asked(worker: BoundedWorker, request: bytes) -> Future[bytes]:
    return worker.submit(request, bytes)


@pytest.fixture
def worker() -> Iterator[BoundedWorker]:
    with BoundedWorker(
        "tests.unit.common.bounded_answers", cpu_s=1.0, memory_bytes=64 * 2**20, interpreter=INTERPRETER
    ) as it:
        yield it


def test_requests_are_answered_by_one_process(worker: BoundedWorker) -> None:
    assert worker.pid is None, "it starts with the first request"
    first = answered(asked(worker, b"pid"))
    assert answered(asked(worker, b"pid")) == first != str(os.getpid()).encode()


def test_a_long_request_and_a_long_answer_go_through(worker: BoundedWorker) -> None:
    content = b"echo" + os.urandom(2**21)
    assert answered(asked(worker, content)) == content


def test_what_takes_too_long_is_ended_and_the_next_is_answered(worker: BoundedWorker) -> None:
    with pytest.raises(OverBounds, match="time"):
        answered(asked(worker, b"spin"))
    assert answered(asked(worker, b"echo")) == b"echo"


def test_what_takes_too_much_memory_is_ended_and_the_next_is_answered(worker: BoundedWorker) -> None:
    with pytest.raises(OverBounds, match="memory"):
        answered(asked(worker, b"hoard"))
    assert answered(asked(worker, b"echo")) == b"echo"


def test_a_process_that_somebody_kills_is_no_verdict_and_is_replaced(worker: BoundedWorker) -> None:
    with pytest.raises(WorkerUnavailable):
        answered(asked(worker, b"die"))
    assert answered(asked(worker, b"echo")) == b"echo"


def test_a_process_that_does_not_answer_is_given_up() -> None:
    with BoundedWorker("tests.unit.common.bounded_answers", wall_s=0.5, interpreter=INTERPRETER) as worker:
        with pytest.raises(WorkerUnavailable, match="no answer"):
            answered(asked(worker, b"sleep"))
        assert answered(asked(worker, b"echo")) == b"echo"


def test_what_is_printed_is_no_answer(worker: BoundedWorker) -> None:
    assert answered(asked(worker, b"print")) == b"printed"


def test_a_module_that_cannot_be_loaded_is_told() -> None:
    with (
        BoundedWorker("tests.unit.no_such_module", interpreter=INTERPRETER) as worker,
        pytest.raises(WorkerUnavailable),
    ):
        answered(asked(worker, b"echo"))


def test_a_closed_worker_leaves_no_process(worker: BoundedWorker) -> None:
    pid = int(answered(asked(worker, b"pid")))
    worker.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_closing_ends_the_request_that_runs(worker: BoundedWorker) -> None:
    answered(asked(worker, b"echo"))
    running = asked(worker, b"sleep")
    worker.close()
    with pytest.raises((WorkerUnavailable, CancelledError)):
        running.result(DEADLINE_S)
