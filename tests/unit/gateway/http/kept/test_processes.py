"""Two gateways as processes, with the key that all of an installation have."""

import asyncio
import signal
from pathlib import Path
from typing import Any

import httpx
from tests.unit.gateway.test_process import DEADLINE_S, ended, gateway, wait_ready

GENERATE = {"url": "/", "body": {"inputs": "a cat", "parameters": {"seed": 5}}}


def settings(folder: Path) -> dict[str, Any]:
    key = folder / "key"
    key.write_bytes(b"k" * 32)
    return {"LORAPOOL_KEY_FILE": str(key), "POD_IP": "127.0.0.1"}


async def test_any_gateway_answers_for_the_one_that_has_it(tmp_path: Path, unused_tcp_port_factory: Any) -> None:
    shared = settings(tmp_path)
    folders = tmp_path / "first", tmp_path / "second"
    for folder in folders:
        folder.mkdir()
    async with (
        gateway(folders[0], unused_tcp_port_factory, **shared) as first,
        gateway(folders[1], unused_tcp_port_factory, **shared) as second,
        httpx.AsyncClient(timeout=DEADLINE_S) as client,
    ):
        await wait_ready(first)
        await wait_ready(second)
        begun = [(await client.post(f"{first.url}/v1/jobs", json=GENERATE)).json()["id"] for _ in range(2)]
        status = (await client.get(f"{second.url}/v1/jobs/{begun[0]}")).json()
        assert (status["id"], status["status"]) == (begun[0], "queued")
        assert (await client.delete(f"{second.url}/v1/jobs/{begun[0]}")).json()["status"] == "cancelled"
        assert first.pod.hold is not None
        first.pod.hold.set()
        events = (await client.get(f"{second.url}/v1/jobs/{begun[1]}/events")).text
        assert events.split("\n\n")[-2].startswith("event: done\n")
        result = await client.get(f"{second.url}/v1/jobs/{begun[1]}/result")
        assert (result.status_code, result.headers["x-lorapool-seed"]) == (200, "5")
        assert result.headers["content-type"] == "image/jpeg"
        assert (await client.get(f"{first.health}/v1/kept/requests/{begun[1]}")).status_code == 401


async def test_what_runs_in_the_background_does_not_keep_a_gateway_from_ending(
    tmp_path: Path, unused_tcp_port_factory: Any
) -> None:
    async with gateway(tmp_path, unused_tcp_port_factory) as it, httpx.AsyncClient(timeout=DEADLINE_S) as client:
        await wait_ready(it)
        begun = await client.post(f"{it.url}/v1/jobs", json=GENERATE)
        assert begun.status_code == 202
        await asyncio.wait_for(it.pod.got_one.wait(), DEADLINE_S)
        it.process.send_signal(signal.SIGTERM)
        code, errors = await ended(it)
    assert (code, "Traceback" in errors) == (0, False), errors
