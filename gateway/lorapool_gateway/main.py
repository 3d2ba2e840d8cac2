"""`lorapool gateway`: watches, polls and serves until it is told to stop."""

import asyncio
import signal
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, suppress

import httpx
import structlog
import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError

from lorapool_api import logs
from lorapool_gateway import kube
from lorapool_gateway.directory import Directory
from lorapool_gateway.http.app import health_app, inference_app
from lorapool_gateway.http.gate import Gate
from lorapool_gateway.http.keys import ApiKeys
from lorapool_gateway.load import Loads, Poller
from lorapool_gateway.metrics import Metrics
from lorapool_gateway.proxy import Proxy
from lorapool_gateway.service import Service
from lorapool_gateway.settings import Settings
from lorapool_gateway.watcher import Watcher

log = structlog.get_logger(__name__)


def command() -> None:
    """Serve images from the pools of this cluster; settings are environment variables LORAPOOL_*."""
    try:
        settings = Settings()
        logs.configure(settings.log_level)
        asyncio.run(run(settings))
    except (ValidationError, kube.ConfigException) as problem:
        sys.exit(f"lorapool gateway: {problem}")


async def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; then end what runs, within the grace period."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with AsyncExitStack() as resources:
        api = await resources.enter_async_context(await kube.connect())
        # Pods are reached directly: a proxy of the environment is for the way out of the cluster.
        http = await resources.enter_async_context(
            httpx.AsyncClient(trust_env=False, limits=httpx.Limits(max_connections=None))
        )
        await Gateway(settings, kube.Kube(api), http, stopping).run()


class Gateway:
    """All parts of a gateway, put together."""

    def __init__(self, settings: Settings, lister: kube.Kube, http: httpx.AsyncClient, stopping: asyncio.Event) -> None:
        self._settings = settings
        self._stopping = stopping
        metrics = Metrics()
        directory = Directory()
        loads = Loads(directory.changed)
        self._watcher = Watcher(lister, directory, settings.watched)
        self._poller = Poller(directory, loads, http)
        proxy = Proxy(directory, loads, http, metrics, poke=self._poller.poke)
        service = Service(directory, self._watcher.synced, proxy, metrics)
        gate = Gate(service, ApiKeys(settings.api_keys_dir), metrics, settings.max_body_bytes)
        self._servers = (
            _server(inference_app(gate, settings.origins), settings, settings.http_port),
            _server(health_app(metrics, self._watcher.synced, stopping), settings, settings.health_port),
        )

    async def run(self) -> None:
        """Serve until it is told to stop."""
        background = [asyncio.create_task(part.run()) for part in (self._watcher, self._poller)]
        serving = [asyncio.create_task(server.serve()) for server in self._servers]
        stop = asyncio.create_task(self._stopping.wait())
        log.info("serving", address=self._settings.listen, port=self._settings.http_port)
        try:
            await asyncio.wait([stop, *background, *serving], return_when=asyncio.FIRST_COMPLETED)
            await self._end(serving)
        finally:
            stop.cancel()
            for task in background:
                task.cancel()
        for task in background:
            with suppress(asyncio.CancelledError):
                await task

    async def _end(self, serving: list[asyncio.Task[None]]) -> None:
        """Say not ready, take requests for a little longer, then end what runs."""
        self._stopping.set()
        if self._settings.drain_seconds:
            await asyncio.sleep(self._settings.drain_seconds)
        inference, health = self._servers
        inference.should_exit = True
        await serving[0]
        health.should_exit = True
        await serving[1]


class _Server(uvicorn.Server):
    """A server that leaves the signals to us: there are two of them in this process."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _server(app: FastAPI, settings: Settings, port: int) -> _Server:
    return _Server(
        uvicorn.Config(
            app,
            host=settings.listen,
            port=port,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=settings.grace_seconds,
        )
    )
