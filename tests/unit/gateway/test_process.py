"""`lorapool gateway` as a process: against an API server and a pod that are HTTP servers of the test."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web
from tests import make
from tests.unit.gateway.fakes import FakePod, read
from tests.unit.gateway.provenance import certificates
from tests.waiting import until_read

from lorapool_api.kinds.pool import Pool
from lorapool_api.names import SERVING_PORT
from lorapool_api.wire.request import GenerateRequest
from lorapool_common.http.listening import listen_host

DEADLINE_S = 60.0
START = """
import sys
from lorapool_common.cli import main
sys.argv = ["lorapool", "gateway"]
main()
"""
LISTS = {"pods": 0, "basemodelpools": 1, "loraadapters": 2}


@dataclass
class Running:
    """The process and what it talks to."""

    process: asyncio.subprocess.Process
    url: str
    health: str
    pod: FakePod


@asynccontextmanager
async def site(handler: Any, port: int, address: str = "127.0.0.1") -> AsyncIterator[None]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, address, port).start()
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


@asynccontextmanager
async def gateway(
    tmp_path: Path, ports: Callable[[], int], empty_pool: Pool | None = None, **settings: str | None
) -> AsyncIterator[Running]:
    """The process; it knows one pool with a pod, or `empty_pool`, without."""
    api_port, port, health_port = (ports() for _ in range(3))
    # Pods all serve the same port: this one has an address that nobody else here has.
    address = ".".join(["127", *(str(1 + byte % 254) for byte in os.urandom(3))])
    pod = FakePod(address, hold=asyncio.Event())
    objects = [[], [read(empty_pool)], []] if empty_pool else [[pod.manifest], [read(make.pool())], []]

    async def api(request: web.Request) -> web.StreamResponse:
        assert request.headers["authorization"] == "Bearer secret"
        if "watch" in request.query:
            await asyncio.Event().wait()
        items = objects[LISTS[request.path.rpartition("/")[2]]]
        return web.json_response({"items": items, "metadata": {"resourceVersion": "1"}})

    async def runtime(request: web.Request) -> web.StreamResponse:
        if request.path == "/v1/status":
            return web.Response(text=pod.status.model_dump_json())
        reply = await pod.generate(GenerateRequest.model_validate_json(await request.read()))
        return web.Response(text=reply.model_dump_json())

    environment = {
        "PATH": os.environ["PATH"],
        "KUBECONFIG": str(kubeconfig(tmp_path, api_port)),
        "LORAPOOL_LISTEN": "127.0.0.1",
        "LORAPOOL_HTTP_PORT": str(port),
        "LORAPOOL_HEALTH_PORT": str(health_port),
    } | settings
    given = {name: value for name, value in environment.items() if value is not None}
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(site(api, api_port))
        await stack.enter_async_context(site(runtime, SERVING_PORT, pod.ip))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", START, env=given, stderr=asyncio.subprocess.PIPE
        )
        stack.push_async_callback(end, process)
        yield Running(process, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{health_port}", pod)


async def end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
        await process.communicate()


async def ended(running: Running) -> tuple[int | None, str]:
    """(exit status, standard error), once it has ended."""
    async with asyncio.timeout(DEADLINE_S):
        _, errors = await running.process.communicate()
    return running.process.returncode, errors.decode()


async def wait_ready(running: Running) -> None:
    async with httpx.AsyncClient() as client:

        async def status() -> int:
            assert running.process.returncode is None, "the gateway has ended"
            with suppress(httpx.TransportError):
                return (await client.get(f"{running.health}/readyz")).status_code
            return 0

        await until_read(status, lambda found: found == httpx.codes.OK, "it is ready", DEADLINE_S)


async def test_it_ends_what_runs_when_it_is_told_to_stop(tmp_path: Path, unused_tcp_port_factory: Any) -> None:
    async with (
        gateway(tmp_path, unused_tcp_port_factory) as it,
        httpx.AsyncClient(timeout=DEADLINE_S) as client,
    ):
        await wait_ready(it)
        request = asyncio.create_task(client.post(it.url, content="a cat"))
        await asyncio.wait_for(it.pod.got_one.wait(), DEADLINE_S)
        numbers = (await client.get(f"{it.health}/metrics")).text
        assert 'lorapool_gateway_running_requests{pool="default/shapes"} 1.0' in numbers
        it.process.send_signal(signal.SIGTERM)
        assert it.pod.hold is not None
        it.pod.hold.set()
        assert (await request).status_code == httpx.codes.OK
        assert (await ended(it))[0] == 0


async def test_while_it_drains_it_is_ready_and_serves_all_and_closes_connections(
    tmp_path: Path, unused_tcp_port_factory: Any
) -> None:
    drain: dict[str, Any] = {"LORAPOOL_DRAIN_SECONDS": "3600"}
    async with gateway(tmp_path, unused_tcp_port_factory, **drain) as it, httpx.AsyncClient() as client:
        await wait_ready(it)
        assert it.pod.hold is not None
        it.pod.hold.set()
        assert "connection" not in (await client.get(it.url)).headers
        it.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(DEADLINE_S):
            while (await client.get(it.url)).headers.get("connection") != "close":
                pass
        async with httpx.AsyncClient(timeout=DEADLINE_S) as new:
            reply = await new.post(it.url, content="a cat")
        assert (reply.status_code, reply.headers["connection"]) == (httpx.codes.OK, "close")
        assert (await client.get(f"{it.health}/readyz")).status_code == httpx.codes.OK
        it.process.send_signal(signal.SIGTERM)
        assert (await ended(it))[0] == 128 + signal.SIGTERM


async def test_after_the_drain_it_says_that_it_takes_none_and_still_ends_what_runs(
    tmp_path: Path, unused_tcp_port_factory: Any
) -> None:
    async with gateway(tmp_path, unused_tcp_port_factory) as it, httpx.AsyncClient(timeout=DEADLINE_S) as client:
        await wait_ready(it)
        request = asyncio.create_task(client.post(it.url, content="a cat"))
        await asyncio.wait_for(it.pod.got_one.wait(), DEADLINE_S)
        it.process.send_signal(signal.SIGTERM)
        ready = partial(client.get, f"{it.health}/readyz")
        await until_read(ready, lambda reply: reply.status_code != httpx.codes.OK, "it takes none", DEADLINE_S)
        assert it.pod.hold is not None
        it.pod.hold.set()
        assert (await request).status_code == httpx.codes.OK
        assert (await ended(it))[0] == 0


async def test_a_port_that_is_taken_is_said_in_a_sentence(tmp_path: Path, unused_tcp_port_factory: Any) -> None:
    taken = unused_tcp_port_factory()
    async with site(nothing, taken), gateway(tmp_path, unused_tcp_port_factory, LORAPOOL_HTTP_PORT=str(taken)) as it:
        status, errors = await ended(it)
    assert status == 1
    assert errors == f"lorapool gateway: 127.0.0.1 port {taken}: Address already in use\n"


async def test_it_signs_with_the_key_of_its_folder_and_knows_what_it_signed(
    tmp_path: Path, unused_tcp_port_factory: Any
) -> None:
    root = certificates.authority()
    folder = certificates.write(tmp_path / "pictures", certificates.issued(root), root)
    mounted: dict[str, Any] = {"LORAPOOL_CONTENT_CREDENTIALS_DIR": str(folder)}
    async with (
        gateway(tmp_path, unused_tcp_port_factory, **mounted) as it,
        httpx.AsyncClient(timeout=DEADLINE_S, base_url=it.url) as client,
    ):
        await wait_ready(it)
        assert it.pod.hold is not None
        it.pod.hold.set()
        asked = {"inputs": "a cat", "parameters": {"content_credentials": True}}
        made = await client.post("/", json=asked, headers={"accept": "image/png"})
        verdict = (await client.post("/v1/verify", content=made.content)).json()
        assert (verdict["ours"], verdict["made_with"]["base"]["name"]) == (True, "shapes-xl")
        it.process.send_signal(signal.SIGTERM)
        assert (await ended(it))[0] == 0


async def nothing(request: web.Request) -> web.StreamResponse:
    return web.Response()


@pytest.mark.parametrize("address", ["127.0.0.1", "[::1]"])
async def test_in_a_pod_of_a_cluster_it_listens_on_loopback_too(
    tmp_path: Path, unused_tcp_port_factory: Any, address: str
) -> None:
    """`kubectl port-forward` connects there."""
    if address == "[::1]" and listen_host(None, None) != "::":
        pytest.skip("this machine has no IPv6")
    async with gateway(tmp_path, unused_tcp_port_factory, LORAPOOL_LISTEN=None, POD_IP="10.9.8.7") as it:
        await wait_ready(it)
        async with httpx.AsyncClient() as client:
            reply = await client.get(f"{it.url.replace('127.0.0.1', address)}/v1/models")
        assert reply.status_code == httpx.codes.OK


async def test_a_thousand_held_requests_take_their_prompts_to_memory_and_not_their_bodies(
    tmp_path: Path, unused_tcp_port_factory: Any
) -> None:
    """Bodies of 260 kB, padded: 260 MB in all. What is held of a request is its prompt, a task and a connection, some
    45 kB; the C library's holes between small blocks come on top.
    """
    requests, padding = 1000, 260_000
    body = json.dumps({"inputs": "a cat", "parameters": {"seed": 1}}).encode() + b" " * padding
    head = (
        f"POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    )
    pool = make.pool(serving={"maxPending": requests})
    async with gateway(tmp_path, unused_tcp_port_factory, empty_pool=pool) as it, httpx.AsyncClient() as client:
        await wait_ready(it)
        before = resident_bytes(it.process.pid)
        port = int(it.url.rpartition(":")[2])
        writers = []
        for _ in range(requests):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head + body)
            await writer.drain()
            writers.append(writer)
        waiting = f'lorapool_gateway_waiting_requests{{pool="default/shapes"}} {requests}.0'
        metrics = partial(client.get, f"{it.health}/metrics")
        await until_read(metrics, lambda reply: waiting in reply.text, "all are held", DEADLINE_S)
        grown = resident_bytes(it.process.pid) - before
        one_more = await client.post(it.url, content="a cat", timeout=DEADLINE_S)
        for writer in writers:
            writer.close()
    assert one_more.status_code == httpx.codes.TOO_MANY_REQUESTS
    assert grown < 160_000_000, grown


def resident_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmRSS:"))
