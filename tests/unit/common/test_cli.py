"""The `lorapool` command itself."""

import asyncio
import contextlib
import signal
import sys
from asyncio.subprocess import PIPE

import pytest

DEADLINE_S = 60.0
# The first process of a container, whose command takes for ever to import.
IMPORTING = """
import os, sys, time
os.getpid = lambda: 1
from lorapool_common import cli

def load(command):
    print("importing", flush=True)
    time.sleep(3600)

cli._load = load
sys.argv = ["lorapool", "gateway"]
cli.main()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_first_process_of_a_container_obeys_signals_while_it_imports(number: signal.Signals) -> None:
    """The kernel would drop those that it does not handle; any other process would die of them."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", IMPORTING, stdout=PIPE)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(DEADLINE_S):
            assert await process.stdout.readline() == b"importing\n"
            process.send_signal(number)
            assert await process.wait() == 128 + number
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
