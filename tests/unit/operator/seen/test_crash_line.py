"""Why a container ended, in one line."""

import pytest

from lorapool_operator.seen.crash_line import MAX_CHARACTERS, crash_line
from lorapool_operator.seen.parse import pod_view

TRACEBACK = """Traceback (most recent call last):
  File "/usr/local/bin/lorapool", line 8, in <module>
    sys.exit(main())
             ^^^^^^
  File "/app/blobs.py", line 49, in __init__
    folder.mkdir()
PermissionError: [Errno 13] Permission denied: '/var/cache/lorapool/blobs'
"""
CHAINED = """Traceback (most recent call last):
  File "a.py", line 1, in <module>
KeyError: 'x'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "b.py", line 2, in <module>
pydantic_core._pydantic_core.ValidationError: 1 validation error for RuntimeConfig
pool
  Field required [type=missing, input_value={}, input_type=dict]
    For further information visit https://errors.pydantic.dev/2.13/v/missing
"""


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("", ""),
        ("\n \n", ""),
        ("exec: no such file\n", "exec: no such file"),
        (TRACEBACK, "PermissionError: [Errno 13] Permission denied: '/var/cache/lorapool/blobs'"),
        (
            CHAINED,
            "pydantic_core._pydantic_core.ValidationError: 1 validation error for RuntimeConfig pool "
            "Field required [type=missing, input_value={}, input_type=dict]",
        ),
        (
            '{"event": "first"}\n{"event": "the cache cannot be written", "error": "disk full"}\n',
            "the cache cannot be written: disk full",
        ),
        ('{"event": "stopped"}', "stopped"),
        (
            '{"event": "a task ended", "exception": "Traceback (most recent call last):\\n  x\\nValueError: no"}',
            "a task ended: ValueError: no",
        ),
        ('["not", "an event"]', '["not", "an event"]'),
        ("Traceback (most recent call last):\n  File cut", "File cut"),
    ],
)
def test_the_line_that_says_why(output: str, words: str) -> None:
    assert crash_line(output) == words


def test_one_long_line_is_cut() -> None:
    assert len(crash_line("x" * 10_000)) == MAX_CHARACTERS


def container(reason: str, message: str) -> str:
    body = {
        "metadata": {"name": "p", "namespace": "default", "uid": "u"},
        "status": {
            "containerStatuses": [
                {
                    "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
                    "lastState": {"terminated": {"exitCode": 1, "reason": reason, "message": message}},
                }
            ]
        },
    }
    problem = pod_view(body).problem
    assert problem is not None
    return problem.message


def test_a_crash_is_told_in_one_line() -> None:
    told = container("Error", TRACEBACK)

    assert told.startswith("Error with exit code 1: PermissionError")
    assert "\n" not in told


def test_a_container_that_was_out_of_memory_says_nothing_else() -> None:
    assert container("OOMKilled", '{"digest": "d", "event": "took a catalog"}') == "OOMKilled with exit code 1"
