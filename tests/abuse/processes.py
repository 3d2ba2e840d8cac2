"""A gateway and a pod as processes, and an API server of the test that knows them.

All have addresses of the loopback network that nobody else has: a pod is reached at its serving port alone.
"""

import asyncio
import os
import random
import sys
import tempfile
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from lorapool_api import names
from lorapool_bench.gateway.place import api_server, kubeconfig
from tests import make
from tests.unit.gateway.fakes import FakePod, read
from tests.waiting import until_read

POOL: Final = "bench"
_START_S: Final = 90.0


@dataclass(frozen=True)
class StartedProcesses:
    """Where they are, and which."""

    gateway: str
    pod: str
    gateway_pid: int
    pod_pid: int


@asynccontextmanager
async def processes() -> AsyncIterator[StartedProcesses]:
    """A pod with the stub engine behind a gateway, ready; both are ended at the end."""
    network = f"127.{random.randrange(64, 255)}.{random.randrange(1, 255)}"  # noqa: S311 -- no secret
    api, gateway, address = (f"{network}.{host}" for host in (1, 2, 3))
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        await api_server(stack, api, _objects(address))
        pod = await _start(stack, {}, "lorapool_bench.gateway.pod", "stub", address, "--cache", str(folder))
        environment = {
            "KUBECONFIG": str(kubeconfig(folder, api)),
            "LORAPOOL_LISTEN": gateway,
            "LORAPOOL_LOG_LEVEL": "WARNING",
            "LORAPOOL_SPOOL_DIR": str(folder),
            # What is kept on purpose shall not look like what is left by mistake.
            "LORAPOOL_KEEP_SECONDS": "5",
            "LORAPOOL_MAX_KEPT_BYTES": str(8 << 20),
        }
        served = await _start(stack, environment, "lorapool_common.cli", "gateway")
        await _until_served(f"http://{gateway}:{names.SERVING_PORT}/")
        yield StartedProcesses(gateway, address, served.pid, pod.pid)


async def _start(stack: AsyncExitStack, environment: dict[str, str], *module: str) -> Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *module, env={"PATH": os.environ["PATH"], **environment}
    )
    stack.push_async_callback(_end, process)
    return process


async def _end(process: Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()


async def _until_served(url: str) -> None:
    async with httpx.AsyncClient(timeout=_START_S) as http:

        async def status() -> int:
            with suppress(httpx.TransportError):
                return (await http.post(url, json={"inputs": "a cat"})).status_code
            return 0

        await until_read(status, lambda found: found == httpx.codes.OK, "it serves", _START_S)


def _objects(address: str) -> dict[str, list[dict[str, Any]]]:
    """A pool and its pod, as the API server lists them."""
    serving = {"limits": {"steps": 1000}, "defaults": {"steps": 1, "width": 64, "height": 64}}
    pool = read(make.pool(POOL, serving=serving))
    pod = FakePod(address, pool=f"default/{POOL}").manifest
    return {"pods": [pod], names.POOL_PLURAL: [pool], names.ADAPTER_PLURAL: []}
