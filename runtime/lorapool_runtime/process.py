"""The process: two servers on one event loop, from start to a graceful end."""

import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, NoReturn

import structlog

from lorapool_api.wire.catalog import Catalog
from lorapool_common.http.listening import bound_socket
from lorapool_common.http.server import App, Server
from lorapool_common.process import CannotStart, Process, run
from lorapool_common.signed.calls import Verifier
from lorapool_common.signed.keys import KeyUnusable
from lorapool_common.supervision import Supervisor
from lorapool_runtime.app.runtime import Runtime
from lorapool_runtime.app.uptime import process_start_s
from lorapool_runtime.engine.choose import engine_loader
from lorapool_runtime.engine.contract import LoadEngine
from lorapool_runtime.http.control import control_app, gated_control
from lorapool_runtime.http.serving import gated_serving, serving_app
from lorapool_runtime.settings import Settings

log = structlog.get_logger(__name__)

# What a process whose task has failed still gives to what runs; nobody may be left to finish it.
_FAILED_GRACE_S: Final = 5.0
# A reply of 27 MB takes a client of 25 Mbit/s this long. The operator gives pods 15 s beyond the grace period.
_REPLY_S: Final = 10.0
MakeServer = Callable[[App, socket.socket], Server]


def serve(settings: Settings, catalog: Catalog | None = None) -> NoReturn:
    """Run until SIGTERM or SIGINT, or until a task of it ends, then end the process.

    Args:
        settings: what to serve and where.
        catalog: outside of Kubernetes, the adapters to serve; else the operator brings them.
    """
    load = engine_loader(settings)
    run("lorapool runtime", lambda process: _serve(process, settings, load, catalog))


async def _serve(process: Process, settings: Settings, load: LoadEngine, catalog: Catalog | None) -> None:
    runtime = Runtime(settings, load, process_start_s())
    if catalog is None:
        runtime.restore_catalog()
    else:
        await runtime.replace_catalog(catalog)
    async with running(runtime, process):
        await process.stopped()
        log.info("stopping: finishing what runs")
    log.info("stopped")


@contextlib.asynccontextmanager
async def running(runtime: Runtime, supervisor: Supervisor, make_server: MakeServer = Server) -> AsyncIterator[None]:
    """The servers up and the base on its way; at the end all that runs is finished first."""
    servers = _servers(runtime.settings, runtime, make_server)
    work = [supervisor.start(name, coroutine) for name, coroutine in runtime.work().items()]
    work.append(supervisor.start("the load of the base model", runtime.load_base(), finishes=True))
    serving = [supervisor.start(f"the server of {name}", server.run_until_ended()) for name, server in servers.items()]
    try:
        yield
    finally:
        grace_s = runtime.settings.grace_s if supervisor.failure is None else _FAILED_GRACE_S
        ends_at = time.monotonic() + grace_s + _REPLY_S
        for server in servers.values():
            server.drain()
        await runtime.stop(grace_s)
        # Replies on their way to slow clients have all the time that the requests did not need.
        within_s = ends_at - time.monotonic()
        for server in servers.values():
            server.end(within_s)
        await supervisor.finish(*serving, within_s=within_s + 1.0)
        await supervisor.end(*work)


def _servers(settings: Settings, runtime: Runtime, make: MakeServer) -> dict[str, Server]:
    serving, port = serving_app(runtime), settings.serving_port
    trusted = settings.config.trusted
    requests = gated_serving(serving, _verifier(settings, trusted.gateways, port))
    servers = {"requests": _server(settings, requests, port, make)}
    if settings.control_port is not None:
        port = settings.control_port
        control = gated_control(
            control_app(runtime), runtime.control_token, _verifier(settings, trusted.operators, port)
        )
        servers["control"] = _server(settings, control, port, make)
    return servers


def _verifier(settings: Settings, keys: Sequence[str], port: int) -> Verifier | None:
    """None: no calls are signed. Raises: CannotStart."""
    if not keys:
        return None
    if settings.place is None:
        raise CannotStart("calls are signed for the pod's address, and POD_IP does not say which that is")
    try:
        return Verifier(keys, f"{settings.place}:{port}")
    except KeyUnusable as error:
        raise CannotStart(f"a trusted key of the configuration: {error}") from error


def _server(settings: Settings, app: App, port: int, make: MakeServer) -> Server:
    try:
        return make(app, bound_socket(settings.host, port))
    except OSError as error:
        raise CannotStart(f"{settings.host} port {port}: {error.strerror}") from error
