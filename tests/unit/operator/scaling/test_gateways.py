"""Gateways over HTTP: bounded in bytes and time, whatever they answer."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from tests.unit.operator.scaling.fake_gateways import gateway_manifest

from lorapool_operator.scaling.gateways import GatewayClient, GatewayPod, GatewayPods, GatewaySilent

HERE = GatewayPod("uid", "127.0.0.1", takes_requests=True)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def gateway(handler: Handler) -> AsyncIterator[GatewayClient]:
    app = web.Application()
    app.router.add_get("/v1/demand", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    client = GatewayClient(runner.addresses[0][1])
    try:
        yield client
    finally:
        await client.close()
        await runner.cleanup()


async def test_what_a_newer_gateway_says_besides_is_left_out() -> None:
    async def answer(_: web.Request) -> web.Response:
        pool = {"waiting": 1, "running": 2, "demand": 3, "news": {}}
        return web.json_response({"pools": {"default/shapes": pool}, "pods": {}, "more": 1})

    async with gateway(answer) as client:
        said = await client.demand(HERE)
    assert said.pools["default/shapes"].demand == 3


@pytest.mark.parametrize(
    "answer",
    [
        web.Response(text="no"),
        web.Response(status=503),
        web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"}),
        web.Response(body=b" " * (5 << 20)),
        web.json_response({"pools": {"a/b": {"waiting": -1, "running": 0, "demand": 0}}}),
    ],
    ids=["no JSON", "an error", "a redirect", "too large", "less than nothing"],
)
async def test_an_answer_that_is_none_is_a_silence(answer: web.Response) -> None:
    async def handler(_: web.Request) -> web.Response:
        return answer

    async with gateway(handler) as client:
        with pytest.raises(GatewaySilent):
            await client.demand(HERE)


async def test_a_gateway_that_hangs_is_given_two_seconds() -> None:
    async def handler(_: web.Request) -> web.Response:
        await asyncio.sleep(3600)
        return web.Response()

    async with gateway(handler) as client, asyncio.timeout(10):
        with pytest.raises(GatewaySilent, match="Timeout"):
            await client.demand(HERE)


async def test_nobody_at_the_address_is_a_silence() -> None:
    client = GatewayClient(1)
    with pytest.raises(GatewaySilent):
        await client.demand(HERE)
    await client.close()


def test_gateways_are_pods_that_run_and_those_that_clients_are_led_to_count() -> None:
    pods = GatewayPods()
    pods.replace(
        [
            gateway_manifest("10.1.0.1"),
            gateway_manifest("10.1.0.2", ready=False),
            gateway_manifest("10.1.0.3", phase="Pending"),
            gateway_manifest("", phase="Running"),
        ]
    )
    pods.put(gateway_manifest("10.1.0.4", deletionTimestamp="2026-01-01T00:00:00Z"))
    assert [(pod.ip, pod.takes_requests) for pod in pods.pods] == [
        ("10.1.0.1", True),
        ("10.1.0.2", False),
        ("10.1.0.4", False),
    ]
    pods.put(gateway_manifest("10.1.0.1", phase="Failed"))
    pods.drop(gateway_manifest("10.1.0.2"))
    assert [pod.ip for pod in pods.pods] == ["10.1.0.4"]
