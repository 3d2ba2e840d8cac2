"""What a hostile pod answers costs little and reaches nobody else."""

import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from lorapool_api.kinds.conditions import Reason
from lorapool_api.wire.state import AdapterPhase, AdapterState, BasePhase, BaseState, PodState
from lorapool_operator.pods.control import Control, ControlError, TokenRefused, state_limit

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def pod(handler: Handler) -> AsyncIterator[Control]:
    """A control port that answers every request like this, and what calls it."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    control = Control(runner.addresses[0][1])
    try:
        yield control
    finally:
        await control.close()
        await runner.cleanup()


def state(version: int = 1, revision: str = "rev", **adapters: Any) -> dict[str, Any]:
    said = {f"default/{name}": {"phase": "ready", "generation": 1} | fields for name, fields in adapters.items()}
    base = {"phase": "warm", "revision": revision}
    return {"instance": "i", "version": version, "digest": "d", "complete": True, "base": base, "adapters": said}


async def test_an_answer_is_not_read_beyond_its_limit() -> None:
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" " * 65536)
            sent += 65536

    async with pod(endless) as control:
        with pytest.raises(ControlError, match="larger than 1000000 bytes"):
            await control.state("127.0.0.1", "t", 0, None, 1_000_000)
    assert sent < 20_000_000  # what sockets hold on the way is not counted


async def test_no_token_is_no_header() -> None:
    shown: list[str | None] = []

    async def seen(request: web.Request) -> web.StreamResponse:
        shown.append(request.headers.get("Authorization"))
        return web.json_response(state())

    async with pod(seen) as control:
        await control.state("127.0.0.1", "", 0, None)
        await control.state("127.0.0.1", "t", 0, None)
    assert shown == [None, "Bearer t"]


async def test_nothing_is_unpacked() -> None:
    """A megabyte on the wire was hundreds in memory."""
    asked: list[str] = []

    async def packed(request: web.Request) -> web.StreamResponse:
        asked.append(request.headers.get("Accept-Encoding", ""))
        body = gzip.compress(json.dumps(state()).encode())
        return web.Response(body=body, headers={"Content-Encoding": "gzip"})

    async with pod(packed) as control:
        with pytest.raises(ControlError, match="no PodState"):
            await control.state("127.0.0.1", "t", 0, None)
    assert asked == ["identity"]


async def test_a_pod_that_sends_the_operator_elsewhere_is_not_followed() -> None:
    paths: list[str] = []

    async def elsewhere(request: web.Request) -> web.StreamResponse:
        paths.append(request.path)
        raise web.HTTPFound("/metadata")

    async with pod(elsewhere) as control:
        with pytest.raises(ControlError):
            await control.state("127.0.0.1", "t", 0, None)
    assert paths == ["/v1/state"]


async def test_a_pod_that_knows_another_token_is_told_apart() -> None:
    async def unauthorized(request: web.Request) -> web.StreamResponse:
        return web.json_response({"code": "Unauthorized", "message": "no"}, status=401)

    async with pod(unauthorized) as control:
        with pytest.raises(TokenRefused):
            await control.state("127.0.0.1", "t", 0, None)


def test_a_small_pool_listens_to_less_than_a_large_one() -> None:
    assert state_limit(0) < state_limit(1000) < state_limit(1_000_000) == 16 << 20
    # A thousand adapters that all failed with the longest of messages still fit.
    failed = AdapterState(phase=AdapterPhase.FAILED, reason=Reason.INTERNAL_ERROR, message="x" * 1000)
    said = PodState(
        instance="i",
        version=1,
        digest="d",
        base=BaseState(phase=BasePhase.WARM),
        complete=True,
        adapters={f"default/adapter-{n}": failed for n in range(1000)},
    )
    assert len(said.model_dump_json()) < state_limit(1000)
