"""`/healthz`, `/readyz` and `/metrics`."""

import socket
from collections.abc import Callable

from aiohttp import web

from lorapool_operator.metrics import Metrics


async def serve_health(listener: socket.socket, metrics: Metrics, is_ready: Callable[[], bool]) -> web.AppRunner:
    """Start to serve; the caller cleans the runner up. A replica that does not lead is ready too: it watches."""

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        ready = is_ready()
        return web.Response(text="ok\n" if ready else "starting\n", status=200 if ready else 503)

    async def figures(_: web.Request) -> web.Response:
        return web.Response(body=metrics.text(), headers={"Content-Type": "text/plain; version=0.0.4"})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", figures)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    return runner
