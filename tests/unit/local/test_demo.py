"""The demo's command line: how it is ended, and what it asks of the machine."""

import asyncio
import contextlib
import re
import signal
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from lorapool_local.demo.clients import DemoRequest, curl_command

ROOT = Path(__file__).parents[3]
DEADLINE_S = 60.0
# As a shell starts a script's background job.
IN_THE_BACKGROUND = """
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)

from lorapool_local.demo import command, story

def tell(*_):
    try:
        yield None
    finally:
        print("taken away", flush=True)

story.tell = tell
story.what_to_try = lambda *_: print("up", flush=True)
command.demo(exit_=False)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_in_the_background_of_a_script_a_signal_ends_it_and_takes_all_away(number: signal.Signals) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", IN_THE_BACKGROUND, stdout=PIPE)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(DEADLINE_S):
            assert await process.stdout.readline() == b"up\n"
            process.send_signal(number)
            said, _ = await process.communicate()
        assert b"taken away" in said
        assert process.returncode == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()


def test_curl_is_asked_for_nothing_that_older_versions_lack() -> None:
    assert "--json" not in curl_command(DemoRequest("http://127.0.0.1", "a star", 7), None)


@pytest.mark.parametrize(
    "page", ["README.md", *(str(p.relative_to(ROOT)) for p in sorted((ROOT / "docs").glob("*.md")))]
)
def test_pages_ask_curl_for_nothing_that_older_versions_lack(page: str) -> None:
    commands = re.findall(r"curl (?:.*\\\n)*.*", (ROOT / page).read_text())
    assert not [command for command in commands if "--json" in command]
