"""`lorapool operator` as a process, against an API server that is an HTTP server of the test."""

import asyncio
import contextlib
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
from aiohttp import web
from tests.waiting import until_read

from lorapool_api import names

DEADLINE_S: Final = 60.0
LEASE: Final = "/apis/coordination.k8s.io/v1/namespaces/default/leases/lorapool-operator"
OURS: Final = f"/apis/{names.GROUP}/{names.VERSION}"
KINDS: Final = {
    "/api/v1": ("pods", "namespaces"),
    "/apis/apps/v1": ("deployments", "replicasets"),
    OURS: (names.POOL_PLURAL, names.ADAPTER_PLURAL),
}
# A user of a container: neither /etc/passwd nor the environment has its name.
NAMELESS: Final = """
import getpass, sys
def nobody():
    raise KeyError("getpwuid(): uid not found: 65532")
getpass.getuser = nobody
"""
START: Final = """
from lorapool_common.cli import main
sys.argv = ["lorapool", "operator"]
main()
"""


@dataclass
class ApiServer:
    """Knows no objects but one Lease. `watch`: what the first of kopf's watches says before it ends."""

    has_crds: bool = True
    answers_discovery: bool = True
    lease: dict[str, Any] | None = None
    watch: bytes = b""
    asked: list[str] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        self.changed.set()
        try:
            return await self._answer(request)
        finally:
            self.changed.set()  # what it wrote came after it was asked

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.path.startswith("/apis/coordination.k8s.io/"):
            return await self._lease(request)
        if request.path.startswith(OURS) and not self.has_crds:
            return self._missing()
        if request.path in ("/api", "/apis") and not self.answers_discovery:
            await asyncio.Event().wait()
        if request.path == "/api":
            return web.json_response({"versions": ["v1"]})
        if request.path == "/apis":
            groups = [path.split("/")[2:] for path in KINDS if path.startswith("/apis/")]
            return web.json_response({"groups": [_group(*group) for group in groups]})
        if request.path in KINDS:
            return web.json_response({"resources": [_kind(plural) for plural in KINDS[request.path]]})
        if "watch" in request.query and self.watch and not request.path.endswith(names.ADAPTER_PLURAL):
            said, self.watch = self.watch, b""
            return web.Response(body=said)
        if "watch" in request.query:
            await asyncio.Event().wait()
        return web.json_response({"items": [], "metadata": {"resourceVersion": "1"}})

    async def _lease(self, request: web.Request) -> web.StreamResponse:
        if request.method == "GET":
            return web.json_response(self.lease) if self.lease else self._missing()
        version = int(self.lease["metadata"]["resourceVersion"]) + 1 if self.lease else 1
        body = await request.json()
        self.lease = body | {"metadata": body["metadata"] | {"resourceVersion": str(version)}}
        return web.json_response(self.lease)

    @property
    def holder(self) -> str | None:
        return self.lease["spec"]["holderIdentity"] if self.lease else None

    def _missing(self) -> web.StreamResponse:
        return web.json_response({"kind": "Status", "message": "not found", "code": 404}, status=404)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until that is so, which only a request can make so."""
        async with asyncio.timeout(DEADLINE_S):
            while not holds():
                self.changed.clear()
                await self.changed.wait()


def _group(name: str, version: str) -> dict[str, Any]:
    named = {"groupVersion": f"{name}/{version}", "version": version}
    return {"name": name, "versions": [named], "preferredVersion": named}


def _kind(plural: str) -> dict[str, Any]:
    verbs = ["get", "list", "watch", "patch"]
    return {"name": plural, "singularName": "", "kind": plural, "namespaced": plural != "namespaces", "verbs": verbs}


@dataclass
class Running:
    """The operator and what it talks to."""

    api: ApiServer
    process: Process
    health: str

    async def until_ready(self) -> None:
        async with httpx.AsyncClient() as client:

            async def status() -> int | None:
                assert self.process.returncode is None, "the operator has ended"
                with contextlib.suppress(httpx.TransportError):
                    return (await client.get(f"{self.health}/readyz")).status_code
                return None

            await until_read(status, lambda code: code == 200, "the operator is ready", DEADLINE_S)

    async def end(self) -> tuple[int, str]:
        """(exit status, standard error), once it has ended."""
        async with asyncio.timeout(DEADLINE_S):
            _, errors = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, errors.decode()


@asynccontextmanager
async def operator(folder: Path, port: int, api: ApiServer, patch: str = "") -> AsyncIterator[Running]:
    async with AsyncExitStack() as stack:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", api.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        (folder / "kubeconfig").write_text(json.dumps(_kubeconfig(runner.addresses[0][1])))
        (folder / "key").write_bytes(b"k" * 32)
        environment = {
            "PATH": os.environ["PATH"],
            "KUBECONFIG": str(folder / "kubeconfig"),
            "POD_NAME": "operator-0",
            "LORAPOOL_NAMESPACES": "default",
            "LORAPOOL_LISTEN": "127.0.0.1",
            "LORAPOOL_PORT": str(port),
            "LORAPOOL_KEY_FILE": str(folder / "key"),
        }
        script = NAMELESS + patch + START
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, env=environment, stdout=PIPE, stderr=PIPE
        )
        stack.push_async_callback(_kill, process)
        yield Running(api, process, f"http://127.0.0.1:{port}")


def _kubeconfig(port: int) -> dict[str, Any]:
    cluster = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}
    context = {"name": "x", "context": {"cluster": "c", "user": "u"}}
    user = {"name": "u", "user": {"token": "secret"}}
    return {"clusters": [cluster], "contexts": [context], "users": [user], "current-context": "x"}


async def _kill(process: Process) -> None:
    if process.returncode is None:
        process.kill()
        await process.communicate()
