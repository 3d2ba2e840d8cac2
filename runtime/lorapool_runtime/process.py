"""The process: two servers on one event loop, from start to a graceful end."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from typing import NoReturn

import structlog
import uvicorn
from fastapi import FastAPI

from lorapool_api.wire.catalog import Catalog
from lorapool_runtime.engine.choose import make_engine
from lorapool_runtime.engine.contract import Engine
from lorapool_runtime.http.control import control_app
from lorapool_runtime.http.serving import serving_app
from lorapool_runtime.pod import Pod
from lorapool_runtime.settings import Settings
from lorapool_runtime.uptime import process_start_s

log = structlog.stdlib.get_logger(__name__)


class _Server(uvicorn.Server):
    """A server that leaves signals to the process: there are two of them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve(settings: Settings, catalog: Catalog | None = None) -> NoReturn:
    """Run until SIGTERM or SIGINT, then end the process.

    Args:
        settings: what to serve and where.
        catalog: outside of Kubernetes, the adapters to serve; else the operator brings them.
    """
    engine = make_engine(settings)
    asyncio.run(_serve(settings, engine, catalog))
    logging.shutdown()
    # A thread that loads or downloads cannot be interrupted, and the interpreter would wait for it. Nothing of it
    # can be half done: files are renamed into place when they are whole.
    os._exit(0)


async def _serve(settings: Settings, engine: Engine, catalog: Catalog | None) -> None:
    asked_to_stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked_to_stop.set)
    pod = Pod.build(settings, engine, process_start_s())
    if catalog is None:
        pod.restore_catalog()
    else:
        pod.registry.replace(catalog)
    async with running(pod):
        await asked_to_stop.wait()
        log.info("stopping: finishing what runs")
    log.info("stopped")


@contextlib.asynccontextmanager
async def running(pod: Pod) -> AsyncIterator[None]:
    """The servers up and the base on its way; at the end all that runs is finished first."""
    work = [asyncio.create_task(pod.base.keep_trying()), asyncio.create_task(pod.dispatcher.run())]
    servers = _servers(pod)
    serving = [asyncio.create_task(server.serve(sockets=[sock])) for server, sock in servers]
    try:
        yield
    finally:
        await pod.stop()
        for server, _ in servers:
            server.should_exit = True
        await asyncio.gather(*serving)
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)


def _servers(pod: Pod) -> list[tuple[uvicorn.Server, socket.socket]]:
    settings = pod.settings
    apps = [(serving_app(pod), settings.serving_port)]
    if settings.control_port is not None:
        apps.append((control_app(pod, settings.control_token_file), settings.control_port))
    return [(_server(app), _bound(settings.host, port)) for app, port in apps]


def _server(app: FastAPI) -> uvicorn.Server:
    # Logs are ours; a connection that idles must not hold up the end.
    return _Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=5))


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    return listener
