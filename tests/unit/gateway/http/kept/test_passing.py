"""Several gateways: whichever is asked, the one that has it answers; one that has ended is told of."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from tests.unit.gateway.fakes import FakePod, World
from tests.waiting import until

from lorapool_api.names import GATEWAY
from lorapool_common.signed.calls import SIGNATURE_HEADER, SignedCall, Signer
from lorapool_common.signed.keys import signing_key
from lorapool_common.signed.renewed import RenewedVerifier
from lorapool_gateway.http.background.routes import BackgroundService
from lorapool_gateway.http.kept.passing import peer_routes
from lorapool_gateway.http.openai.files import ImageFiles
from lorapool_gateway.kept.ids import Ids
from lorapool_gateway.kept.kept import Kept
from lorapool_gateway.kept.peers import OtherGateways

KEY, OTHER = b"k" * 32, b"o" * 32
GENERATE: dict[str, Any] = {"url": "/v1/images/generations", "body": {"prompt": "a cat", "seed": 5}}


@dataclass
class Replica:
    """A gateway that others reach."""

    world: World
    pod: FakePod
    address: str

    def client(self, **headers: str) -> httpx.AsyncClient:
        return self.world.client(**headers)


@contextlib.asynccontextmanager
async def listening(app: FastAPI, listener: socket.socket) -> AsyncIterator[None]:
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1))
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
    running = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await until(lambda: server.started, "the server listens")
        yield
    finally:
        server.should_exit = True
        await running
        listener.close()


@contextlib.asynccontextmanager
async def replica(
    host: str = "127.0.0.1", keys: Sequence[bytes] = (KEY,), api_keys: Path | None = None, hold: bool = False
) -> AsyncIterator[Replica]:
    """A gateway whose port for others is a real one."""
    listener = socket.create_server((host, 0))
    port = listener.getsockname()[1]
    current = tuple(keys)
    ids = Ids(lambda: current, host, port)
    kept = Kept(ids)
    signer = Signer([signing_key(key, GATEWAY) for key in keys])
    app = FastAPI()
    answers = BackgroundService(kept).answers() | ImageFiles(kept).answers()
    verifier = RenewedVerifier(lambda: current, GATEWAY, ids.own.place)
    app.include_router(peer_routes(answers, verifier, lambda: current))
    async with OtherGateways(signer, lambda: current) as peers, listening(app, listener):
        world = World(keys=api_keys, kept=kept, peers=peers)
        world.pool()
        pod = world.pod(hold=asyncio.Event() if hold else None)
        yield Replica(world, pod, f"http://{host}:{port}")


async def begun(by: Replica, **headers: str) -> str:
    async with by.client(**headers) as client:
        reply = await client.post("/v1/jobs", json=GENERATE)
    assert reply.status_code == 202, reply.text
    id_: str = reply.json()["id"]
    return id_


async def test_any_gateway_answers_for_the_one_that_has_it() -> None:
    async with replica() as first, replica() as second:
        id_ = await begun(first)
        async with second.client() as client:
            events = await client.get(f"/v1/jobs/{id_}/events")
            assert events.headers["content-type"].startswith("text/event-stream")
            assert events.text.split("\n\n")[-2].startswith("event: done\n")
            assert (await client.get(f"/v1/jobs/{id_}")).json()["status"] == "succeeded"
            assert (await client.head(f"/v1/jobs/{id_}")).status_code == 200
            result = await client.get(f"/v1/jobs/{id_}/result")
            assert (result.status_code, result.headers["x-lorapool-seed"]) == (200, "5")
            assert "x-lorapool-proof" not in result.headers
        async with first.client() as client:
            assert result.content == (await client.get(f"/v1/jobs/{id_}/result")).content
        assert not second.pod.received


async def test_an_end_by_another_gateway_reaches_the_pod() -> None:
    async with replica(hold=True) as first, replica() as second:
        id_ = await begun(first)
        await first.pod.got_one.wait()
        async with second.client() as client:
            assert (await client.delete(f"/v1/jobs/{id_}")).json()["status"] == "cancelled"
            await asyncio.wait_for(first.pod.was_cancelled.wait(), 10)
            assert (await client.get(f"/v1/jobs/{id_}/result")).status_code == 410


async def test_a_picture_is_at_any_gateway() -> None:
    async with replica() as first, replica() as second, first.client() as client, second.client() as other:
        reply = await client.post("/v1/images/generations", json=GENERATE["body"] | {"response_format": "url"})
        path = reply.json()["data"][0]["url"].removeprefix("http://gateway")
        got = await other.get(path)
        assert (got.status_code, got.headers["content-type"]) == (200, "image/png")
        assert got.content == (await client.get(path)).content


async def test_what_one_key_has_is_unknown_to_others_at_every_gateway(tmp_path: Path) -> None:
    for name in ("alice", "bob"):
        (tmp_path / name).write_text(name)
    async with replica(api_keys=tmp_path) as first, replica(api_keys=tmp_path) as second:
        id_ = await begun(first, authorization="Bearer alice")
        for key, status in (("alice", 200), ("bob", 404), ("nobody", 401)):
            async with second.client(authorization=f"Bearer {key}") as client:
                assert (await client.get(f"/v1/jobs/{id_}")).status_code == status


async def test_what_a_gateway_had_that_has_ended_is_gone() -> None:
    async with replica() as first:
        id_ = await begun(first)
    async with replica() as second, second.client() as client:
        reply = await client.get(f"/v1/jobs/{id_}")
    assert (reply.status_code, reply.json()["error"]["code"]) == (410, "gone")
    assert "has ended" in reply.json()["error"]["message"]


async def test_another_process_that_answers_at_its_address_is_not_believed() -> None:
    async with replica() as first:
        id_, port = await begun(first), int(first.address.rpartition(":")[2])
    stranger, asked = FastAPI(), []

    @stranger.get("/{path:path}")
    async def anything(path: str) -> dict[str, str]:
        asked.append(path)
        return {"status": "succeeded"}

    taken = socket.create_server(("127.0.0.1", port))
    async with listening(stranger, taken), replica() as second, second.client() as client:
        reply = await client.get(f"/v1/jobs/{id_}")
    assert (reply.status_code, len(asked)) == (410, 1)


@pytest.mark.parametrize("keys", [(OTHER,), ()])
async def test_only_gateways_of_the_installation_are_answered(keys: tuple[bytes, ...]) -> None:
    async with replica() as first, httpx.AsyncClient() as client:
        id_ = await begun(first)
        target = f"/v1/kept/requests/{id_}"
        headers = {}
        if keys:
            call = SignedCall(first.address.removeprefix("http://"), "GET", target)
            headers = {SIGNATURE_HEADER: Signer([signing_key(key, GATEWAY) for key in keys]).token(call)}
        reply = await client.get(f"{first.address}{target}", headers=headers)
    assert reply.status_code == 401


async def test_while_the_key_is_replaced_gateways_know_each_other() -> None:
    async with replica(keys=(KEY,)) as before, replica(keys=(OTHER, KEY)) as after:
        by_old, by_new = await begun(before), await begun(after)
        async with after.client() as client:
            assert (await client.get(f"/v1/jobs/{by_old}")).status_code == 200
        async with before.client() as client:
            assert (await client.get(f"/v1/jobs/{by_new}")).status_code == 404
