"""`lorapool gateway` as a process: against an API server and a pod that are HTTP servers of the test."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web
from tests import make
from tests.unit.gateway_fakes import FakePod, read

LISTS = {"pods": 0, "basemodelpools": 1, "loraadapters": 2}


@dataclass
class Running:
    """The process and what it talks to."""

    process: asyncio.subprocess.Process
    url: str
    health: str
    pod: FakePod


@asynccontextmanager
async def site(handler: Any, port: int) -> AsyncIterator[None]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield
    finally:
        await runner.cleanup()


def kubeconfig(folder: Path, port: int) -> Path:
    cluster = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}
    context = {"name": "x", "context": {"cluster": "c", "user": "u"}}
    user = {"name": "u", "user": {"token": "secret"}}
    path = folder / "kubeconfig"
    path.write_text(json.dumps({"clusters": [cluster], "contexts": [context], "users": [user], "current-context": "x"}))
    return path


@pytest.fixture
async def gateway(tmp_path: Path, unused_tcp_port_factory: Any) -> AsyncIterator[Running]:
    api_port, pod_port, port, health_port = (unused_tcp_port_factory() for _ in range(4))
    pod = FakePod("127.0.0.1", hold=asyncio.Event())
    container = {"name": "runtime", "ports": [{"name": "serving", "containerPort": pod_port}]}
    objects = [[pod.manifest | {"spec": {"containers": [container]}}], [read(make.pool())], []]

    async def api(request: web.Request) -> web.StreamResponse:
        assert request.headers["authorization"] == "Bearer secret"
        if "watch" in request.query:
            await asyncio.Event().wait()
        items = objects[LISTS[request.path.rpartition("/")[2]]]
        return web.json_response({"items": items, "metadata": {"resourceVersion": "1"}})

    async def runtime(request: web.Request) -> web.StreamResponse:
        reply = await pod.answer(httpx.Request(request.method, str(request.url), content=await request.read()))
        return web.Response(body=reply.content, status=reply.status_code)

    environment = {
        "PATH": os.environ["PATH"],
        "KUBECONFIG": str(kubeconfig(tmp_path, api_port)),
        "LORAPOOL_LISTEN": "127.0.0.1",
        "LORAPOOL_HTTP_PORT": str(port),
        "LORAPOOL_HEALTH_PORT": str(health_port),
    }
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(site(api, api_port))
        await stack.enter_async_context(site(runtime, pod_port))
        program = (sys.executable, "-m", "lorapool_api.cli", "gateway")
        process = await asyncio.create_subprocess_exec(*program, env=environment)
        stack.push_async_callback(end, process)
        running = Running(process, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{health_port}", pod)
        await wait_ready(running)
        yield running


async def end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()


async def wait_ready(running: Running, deadline_s: float = 20.0) -> None:
    async with asyncio.timeout(deadline_s), httpx.AsyncClient() as client:
        while True:
            assert running.process.returncode is None, "the gateway has ended"
            try:
                if (await client.get(f"{running.health}/readyz")).status_code == httpx.codes.OK:
                    return
            except httpx.TransportError:
                await asyncio.sleep(0.05)  # nothing announces that another process listens


async def test_it_ends_what_runs_when_it_is_told_to_stop(gateway: Running) -> None:
    async with httpx.AsyncClient(timeout=20) as client:
        request = asyncio.create_task(client.post(gateway.url, content="a cat"))
        await asyncio.wait_for(gateway.pod.got_one.wait(), 10)
        numbers = (await client.get(f"{gateway.health}/metrics")).text
        assert 'lorapool_gateway_running_requests{pool="default/shapes"} 1.0' in numbers
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.pod.hold is not None
        gateway.pod.hold.set()
        assert (await request).status_code == httpx.codes.OK
    assert await asyncio.wait_for(gateway.process.wait(), 10) == 0
