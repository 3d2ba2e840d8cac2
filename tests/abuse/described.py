"""Schemathesis on the gateway's OpenAPI page: requests that it describes, and requests that it rules out."""

import asyncio
import re
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path
from typing import Final

from tests.abuse.target import AttackedGateway
from tests.clients.installed import python_of

_RUN_S: Final = 900
# No status from 500 on, and no answer whose status, type, headers or body the page does not say.
_CHECKS: Final = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)


async def describe_and_ask(target: AttackedGateway, folder: Path, examples: int, seed: int) -> tuple[int, str]:
    """Ask so many times for each operation, besides what each of its fields' limits gives.

    Returns:
        How many requests were sent, and what was wrong; empty where nothing was.
    """
    python = await asyncio.to_thread(python_of, "schemathesis")
    program = python.with_name("schemathesis")
    page = f"http://{target.host}:{target.port}/openapi.json"
    phases = ("--phases", "coverage,fuzzing", "--max-examples", str(examples), "--seed", str(seed))
    options = ("--workers", "2", "--request-timeout", "60", "--no-shrink", "--continue-on-failure", "--warnings", "off")
    checks = ("--checks", ",".join(_CHECKS), "--suppress-health-check", "all")
    process = await asyncio.create_subprocess_exec(
        program, "run", page, *phases, *options, *checks, cwd=folder, stdout=PIPE, stderr=STDOUT
    )
    try:
        async with asyncio.timeout(_RUN_S):
            printed, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = printed.decode(errors="replace")
    found = re.search(r"(\d+) generated", text)
    return int(found[1]) if found else 0, "" if process.returncode == 0 else text
