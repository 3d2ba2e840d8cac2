"""Where the bench of the gateway takes place: a gateway and a pod as processes, and an API server that knows them.

All have addresses of the loopback network that nobody else has: a pod is reached at its serving port alone.
"""

import asyncio
import json
import os
import random
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiohttp import web

from lorapool_api import names
from lorapool_bench.gateway.pod import POOL

_START_S: Final = 60.0
_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class GatewaySetup:
    """A gateway with pods behind it, as processes.

    Attributes:
        straight: address of the pod's images.
        gateway: address of the gateway.
        pid: of the gateway.
    """

    straight: str
    gateway: str
    pid: int

    @property
    def cpu_s(self) -> float:
        """What the gateway has used so far, in user and kernel mode."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS


@asynccontextmanager
async def place(kind: str, *options: str) -> AsyncIterator[GatewaySetup]:
    """A pod of that kind (see `gateway_pod`) behind a gateway, ready; both are ended at the end."""
    # Nobody else's: benches and tests on one machine do not meet.
    network = f"127.{random.randrange(64, 255)}.{random.randrange(1, 255)}"  # noqa: S311 -- no secret
    api, gateway, pod = (f"{network}.{host}" for host in (1, 2, 3))
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        await _api_server(stack, api, _objects(pod))
        runtime = ("lorapool_bench.gateway.pod", kind, pod, "--cache", str(folder), *options)
        await _start(stack, runtime, {})
        environment = {
            "KUBECONFIG": str(_kubeconfig(folder, api)),
            "LORAPOOL_LISTEN": gateway,
            "LORAPOOL_LOG_LEVEL": "WARNING",
        }
        process = await _start(stack, ("lorapool_common.cli", "gateway"), environment)
        straight = f"http://{pod}:{names.SERVING_PORT}/v1/generate"
        made = GatewaySetup(straight, f"http://{gateway}:{names.SERVING_PORT}/", process.pid)
        await _wait_until_served(made)
        yield made


async def _start(
    stack: AsyncExitStack, program: Sequence[str], environment: dict[str, str]
) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *program, env={"PATH": os.environ["PATH"], **environment}
    )
    stack.push_async_callback(_end, process)
    return process


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()


async def _wait_until_served(made: GatewaySetup) -> None:
    async with asyncio.timeout(_START_S), aiohttp.ClientSession() as http:
        while True:
            try:
                async with http.post(made.gateway, json={"inputs": "a cat"}) as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(0.1)


async def _api_server(stack: AsyncExitStack, address: str, objects: dict[str, list[dict[str, Any]]]) -> None:
    over = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        if "watch" in request.query:
            await over.wait()
        items = objects[request.path.rpartition("/")[2]]
        return web.json_response({"items": items, "metadata": {"resourceVersion": "1"}})

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    stack.callback(over.set)
    await web.TCPSite(runner, address, names.SERVING_PORT).start()


def _kubeconfig(folder: Path, address: str) -> Path:
    cluster = {"name": "c", "cluster": {"server": f"http://{address}:{names.SERVING_PORT}"}}
    context = {"name": "x", "context": {"cluster": "c", "user": "u"}}
    user = {"name": "u", "user": {"token": "none"}}
    path = folder / "kubeconfig"
    path.write_text(json.dumps({"clusters": [cluster], "contexts": [context], "users": [user], "current-context": "x"}))
    return path


def _objects(address: str) -> dict[str, list[dict[str, Any]]]:
    """A pool and its pod, as the API server lists them."""
    namespace, name = names.split_full_name(POOL)
    serving = {"limits": {"steps": 1000}, "defaults": {"steps": 1, "width": 64, "height": 64}}
    spec = {
        "model": {"source": {"path": "/models/bench"}},
        "runtime": {"engine": "stub", "device": "cpu"},
        "serving": serving,
    }
    pool = {
        "apiVersion": names.API_VERSION,
        "kind": names.POOL_KIND,
        "metadata": {"name": name, "namespace": namespace, "uid": "pool", "generation": 1},
        "spec": spec,
    }
    owner = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "name": f"{names.runtime_name(name)}-6d4cf56db6",
        "uid": "replicas",
        "controller": True,
    }
    labels = {names.POOL_LABEL: name, "pod-template-hash": "6d4cf56db6"}
    metadata = {"name": "pod", "namespace": namespace, "uid": "pod", "labels": labels, "ownerReferences": [owner]}
    pod = {"metadata": metadata, "status": {"phase": "Running", "podIP": address}}
    return {"pods": [pod], names.POOL_PLURAL: [pool], names.ADAPTER_PLURAL: []}
