"""A client that goes, with a gateway and a pod as processes: the pod's engine is free at its next step."""

import asyncio
from functools import partial
from typing import Any

import httpx
import pytest

from lorapool_bench.gateway.place import place
from tests.waiting import until_read

STEP_S, STEPS = 0.5, 60
# A step, and what the machine takes for the way: far less than the steps that are left.
FREE_WITHIN_S = 6.0


@pytest.mark.timeout(180)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_goes_frees_the_pod_long_before_its_steps_are_done(stream: bool) -> None:
    async with place("stub", "--step-milliseconds", str(round(STEP_S * 1000))) as made, httpx.AsyncClient() as http:
        proxy = made.proxies[0]
        status = proxy.straight.url.replace("/v1/generate", "/v1/status")
        body = {"prompt": "a cat", "steps": STEPS, "stream": stream, "partial_images": 1}
        url = f"{proxy.through.url}v1/images/generations"
        going = asyncio.create_task(http.post(url, json=body, timeout=STEP_S * STEPS))
        await until_read(partial(_said, http, status), lambda said: said["running"] == 1, "the pod works", 30)
        going.cancel()
        idle = {"running": 0, "pending": 0}
        await until_read(partial(_said, http, status), lambda said: said | idle == said, "it is free", FREE_WITHIN_S)


async def _said(http: httpx.AsyncClient, url: str) -> dict[str, Any]:
    said: dict[str, Any] = (await http.get(url)).json()
    return said
