"""How far an A1111 client's images are, and their end."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from tests.unit.gateway.fakes import PREVIEW, World

from lorapool_api.wire.reply import StepReport
from lorapool_gateway.http.sdapi.running import RunningRequests

NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def progress(client: httpx.AsyncClient, query: str = "") -> Any:
    return (await client.get(f"/sdapi/v1/progress{query}")).json()


async def test_a_client_sees_how_far_its_image_is_and_ends_it(world: World) -> None:
    pod = world.pod(hold=asyncio.Event())
    async with world.client() as client:
        assert (await progress(client))["state"]["job_count"] == 0
        asked = asyncio.create_task(client.post("/sdapi/v1/txt2img", json={"prompt": "a"}))
        await pod.got_one.wait()
        seen = await progress(client)
        assert (seen["progress"], seen["current_image"], seen["state"]["sampling_steps"]) == (1.0, PREVIEW, 4)
        assert (await progress(client, "?skip_current_image=true"))["current_image"] is None
        assert (await client.post("/sdapi/v1/interrupt")).status_code == 200
        reply = await asked
        assert (reply.status_code, reply.json()["error"]) == (409, "interrupted")
        await pod.was_cancelled.wait()
        assert (await progress(client))["state"]["job_count"] == 0


async def test_one_caller_neither_sees_nor_ends_what_another_has(tmp_path: Path) -> None:
    for name in ("alice", "bob"):
        (tmp_path / name).write_text(name)
    world = World(keys=tmp_path)
    world.pool()
    pod = world.pod(hold=asyncio.Event())
    async with world.client(authorization="Bearer alice") as alice, world.client(authorization="Bearer bob") as bob:
        asked = asyncio.create_task(alice.post("/sdapi/v1/txt2img", json={"prompt": "a"}))
        await pod.got_one.wait()
        assert (await progress(bob))["state"]["job_count"] == 0
        await bob.post("/sdapi/v1/interrupt")
        assert (await progress(alice))["state"]["job_count"] == 1
        assert pod.hold is not None
        pod.hold.set()
        assert (await asked).status_code == 200


def test_what_is_left_is_what_was_spent_by_the_share_that_is_done() -> None:
    now = [NOW]
    running = RunningRequests(lambda: now[0])
    with running.request(b"") as job, running.request(b""):
        assert running.progress(b"", with_image=True)["eta_relative"] == 0
        job.step(StepReport(number=1, of=4))
        now[0] += timedelta(seconds=2)
        said = running.progress(b"", with_image=True)
    assert (said["progress"], said["eta_relative"], said["state"]["job_count"]) == (0.25, 6.0, 2)
    assert running.progress(b"", with_image=True)["state"]["job_count"] == 0
