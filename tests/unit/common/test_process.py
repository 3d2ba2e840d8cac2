"""Processes of the test's own: signals, exit status and what is said."""

import asyncio
import contextlib
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator

import pytest

DEADLINE_S = 60.0
SIGNALS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])

PREAMBLE = """
import asyncio, sys, threading, time
from lorapool_common import logs
from lorapool_common.process import CannotStart, run

logs.configure(json=True)

def say(word):
    print(word, flush=True)

async def fail():
    raise KeyError("uid not found")

async def for_ever():
    await asyncio.Event().wait()
"""


@contextlib.asynccontextmanager
async def program(main: str) -> AsyncIterator[Process]:
    """A process whose `main` is this source."""
    script = PREAMBLE + main + '\nrun("lorapool test", main)\n'
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=PIPE, stderr=PIPE)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def said(process: Process, word: str) -> None:
    assert process.stdout is not None
    async with asyncio.timeout(DEADLINE_S):
        assert (await process.stdout.readline()).decode().strip() == word


async def status(process: Process) -> tuple[int, str]:
    """(exit status, standard error)."""
    async with asyncio.timeout(DEADLINE_S):
        _, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, errors.decode()


ORDERLY = """
async def main(process):
    say("up")
    await process.stopped()
    say("cleaned up")
"""


@SIGNALS
async def test_a_signal_ends_the_process_in_good_order(number: signal.Signals) -> None:
    async with program(ORDERLY) as process:
        await said(process, "up")
        process.send_signal(number)
        await said(process, "cleaned up")
        assert (await status(process))[0] == 0


HANGS_AT_ITS_END = """
async def main(process):
    say("up")
    await process.stopped()
    say("ending")
    await for_ever()
"""


@SIGNALS
async def test_a_second_signal_ends_it_at_once(number: signal.Signals) -> None:
    async with program(HANGS_AT_ITS_END) as process:
        await said(process, "up")
        process.send_signal(signal.SIGTERM)
        await said(process, "ending")
        process.send_signal(number)
        assert (await status(process))[0] == 128 + number


FAILS = """
async def main(process):
    process.start("the watch of pods", fail())
    await process.stopped()
    say("cleaned up")
"""


async def test_a_failed_task_ends_it_in_good_order_with_one_line_and_status_1() -> None:
    async with program(FAILS) as process:
        await said(process, "cleaned up")
        code, errors = await status(process)
    assert code == 1
    (line,) = errors.splitlines()
    assert "the watch of pods" in line
    assert "KeyError: 'uid not found'" in line


CANNOT_START = """
async def main(process):
    raise CannotStart("the key cannot be read")
"""


async def test_what_a_user_must_put_right_is_said_in_one_sentence() -> None:
    async with program(CANNOT_START) as process:
        assert await status(process) == (1, "lorapool test: the key cannot be read\n")


ITS_OWN_DEFECT = """
async def main(process):
    process.start("the poller", for_ever())
    await fail()
"""


async def test_a_failure_of_the_process_itself_has_status_1_and_a_traceback() -> None:
    async with program(ITS_OWN_DEFECT) as process:
        code, errors = await status(process)
    assert code == 1
    assert "Traceback" in errors


A_THREAD_HANGS = """
async def main(process):
    asyncio.get_running_loop().run_in_executor(None, time.sleep, 3600)
    say("up")
    await process.stopped()
"""


async def test_a_thread_that_hangs_does_not_keep_it() -> None:
    async with program(A_THREAD_HANGS) as process:
        await said(process, "up")
        process.send_signal(signal.SIGTERM)
        assert (await status(process))[0] == 0


A_LIBRARY_TAKES_SIGNALS = """
import signal
async def main(process):
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, say, "swallowed")
    process.take_signals()
    say("up")
    await process.stopped()
"""


@SIGNALS
async def test_signals_come_back_from_a_library_that_took_them(number: signal.Signals) -> None:
    async with program(A_LIBRARY_TAKES_SIGNALS) as process:
        await said(process, "up")
        process.send_signal(number)
        assert (await status(process))[0] == 0
