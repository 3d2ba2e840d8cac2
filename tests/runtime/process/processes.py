"""`lorapool runtime` as a process of its own."""

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator

import httpx
from tests.runtime.pods import DEADLINE_S
from tests.waiting import until_read


@contextlib.asynccontextmanager
async def process(*arguments: str, **environment: str) -> AsyncIterator[Process]:
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "lorapool_common.cli", "runtime", *arguments, env=os.environ | environment, stderr=PIPE
    )
    try:
        yield started
    finally:
        with contextlib.suppress(ProcessLookupError):
            started.kill()
        await started.communicate()


async def until_ready(client: httpx.AsyncClient, path: str = "/readyz") -> None:
    async def status() -> int | None:
        with contextlib.suppress(httpx.TransportError):
            return (await client.get(path)).status_code
        return None

    await until_read(status, lambda code: code == 200, f"{path} answers 200", DEADLINE_S)
