"""The part of the kubelet's API that `kubectl logs` needs, for the apiserver alone."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from lorapool_common.http.server import QuietServer
from lorapool_local.node.containers.logs import LogQuery, log_file, read_log
from lorapool_local.node.reports.snapshot import ContainerRunning
from lorapool_local.node.worker import PodWorker
from lorapool_local.pki import KeyPair


class PodLookup(Protocol):
    """Where the server finds the pods of the node."""

    def find(self, namespace: str, name: str) -> PodWorker | None: ...


class KubeletServer:
    """Serves on a free port of the node's address, to clients with a certificate of the plane's authority."""

    def __init__(self, pods: PodLookup, address: str, authority: Path, pair: KeyPair) -> None:
        listener = socket.socket()
        listener.bind((address, 0))
        self.port: int = listener.getsockname()[1]
        self._listener = listener
        config = uvicorn.Config(
            _app(pods),
            ssl_certfile=str(pair.certificate),
            ssl_keyfile=str(pair.key),
            ssl_ca_certs=str(authority),
            ssl_cert_reqs=ssl.CERT_REQUIRED,
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=1,
        )
        self._server = QuietServer(config)

    async def serve(self) -> None:
        """Until cancelled."""
        with contextlib.closing(self._listener):
            await self._server.serve(sockets=[self._listener])


def _app(pods: PodLookup) -> Starlette:
    async def container_logs(request: Request) -> Response:
        parameters = request.path_params
        worker = pods.find(parameters["namespace"], parameters["pod"])
        runner = worker.container(parameters["container"]) if worker is not None else None
        if worker is None or runner is None:
            return PlainTextResponse("no such pod or container on this node", 404)
        count = runner.snapshot.restart_count
        if request.query_params.get("previous") == "true":
            count -= 1
        path = log_file(worker.folder, runner.container.name, count)
        if not path.exists():
            return PlainTextResponse(f"container {runner.container.name} has no such log", 400)

        def is_over() -> bool:
            return runner.snapshot.restart_count != count or not isinstance(runner.snapshot.state, ContainerRunning)

        lines = read_log(path, _query(request), is_over)
        return StreamingResponse(_until_gone(lines, request), media_type="text/plain")

    return Starlette(
        routes=[
            Route("/containerLogs/{namespace}/{pod}/{container}", container_logs),
            Route("/healthz", lambda _: PlainTextResponse("ok")),
        ]
    )


async def _until_gone(lines: AsyncIterator[bytes], request: Request) -> AsyncIterator[bytes]:
    async for line in lines:
        yield line
        if await request.is_disconnected():
            return
        await asyncio.sleep(0)


def _query(request: Request) -> LogQuery:
    asked = request.query_params
    since = None
    if "sinceSeconds" in asked:
        since = datetime.now(UTC) - timedelta(seconds=int(asked["sinceSeconds"]))
    elif "sinceTime" in asked:
        since = datetime.fromisoformat(asked["sinceTime"])
    return LogQuery(
        follow=asked.get("follow") == "true",
        timestamps=asked.get("timestamps") == "true",
        tail_lines=int(asked["tailLines"]) if "tailLines" in asked else None,
        since=since,
        limit_bytes=int(asked["limitBytes"]) if "limitBytes" in asked else None,
    )
