"""A gateway's spans reach the collector that its environment names."""

from pathlib import Path
from typing import Any

import httpx
from aiohttp import web
from tests.unit.gateway.test_process import DEADLINE_S, ended, gateway, site, wait_ready


async def test_spans_reach_the_collector_of_the_environment_before_the_process_ends(
    tmp_path: Path, unused_tcp_port_factory: Any
) -> None:
    got: list[bytes] = []

    async def collect(request: web.Request) -> web.StreamResponse:
        assert request.path == "/v1/traces"
        got.append(await request.read())
        return web.Response(body=b"")

    port = unused_tcp_port_factory()
    endpoint: dict[str, Any] = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
    }
    async with (
        site(collect, port),
        gateway(tmp_path, unused_tcp_port_factory, **endpoint) as it,
        httpx.AsyncClient(timeout=DEADLINE_S) as client,
    ):
        await wait_ready(it)
        assert it.pod.hold is not None
        it.pod.hold.set()
        assert (await client.post(it.url, content="my secret prompt")).status_code == httpx.codes.OK
        it.process.terminate()
        assert (await ended(it))[0] == 0
    sent = b"".join(got)
    assert all(name in sent for name in (b"lorapool-gateway", b"images", b"hold", b"attempt"))
    assert b"secret" not in sent
