"""The load: requests one after the other, at fixed times, or all at once."""

import asyncio
import io
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from statistics import quantiles
from typing import Any, Final

import aiohttp

from lorapool_bench.gateway.place import PICTURE, Endpoint
from lorapool_bench.gateway.pod import STEP_S
from lorapool_bench.gateway.result import Latency

_OK: Final = 200


@dataclass(frozen=True)
class Answer:
    """A status, and the seconds until its last byte."""

    status: int
    took_s: float


async def steady(target: Endpoint, in_flight: int, seconds: float, takes_s: float) -> list[Answer]:
    """As many requests as are in flight at once, the same number in each moment, for so long.

    Where an image takes no time (`takes_s` of 0) each request follows the answer to the one before it. Else they begin
    at fixed times, whether earlier ones were answered or not: clients that wait for their answers would come in
    bunches after the first stall, and the wait in a bunch would be measured instead of the way. What begins before so
    many are in flight does not count.
    """
    body = target.body(max(1, round(takes_s / STEP_S)))
    loop = asyncio.get_running_loop()
    async with _session() as http:
        if not takes_s:
            await _ask(http, target.url, body)
            end = loop.time() + seconds
            answers = []
            while loop.time() < end:
                answers.append(await _ask(http, target.url, body))
            return answers
        begin, apart_s = loop.time(), takes_s / in_flight

        async def at(number: int) -> Answer:
            await asyncio.sleep(begin + number * apart_s - loop.time())
            return await _ask(http, target.url, body)

        counted = round(seconds / apart_s)
        return (await asyncio.gather(*(at(number) for number in range(in_flight + counted))))[in_flight:]


async def held(target: Endpoint, requests: int, size_bytes: int, takes_s: float) -> list[Answer]:
    """So many at once, with a body of that size each."""
    url, body = target.large(round(takes_s / STEP_S), size_bytes)
    async with _session() as http:
        return await asyncio.gather(*(_ask_with(http, url, body) for _ in range(requests)))


async def burst(target: Endpoint, requests: int, steps: int) -> list[Answer]:
    """All at once, each on a connection of its own."""
    async with _session() as http:
        return await asyncio.gather(*(_ask(http, target.url, target.body(steps)) for _ in range(requests)))


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=120), headers={"accept": "image/*"}
    )


async def _ask(http: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> Answer:
    return await _answered(http.post(url, json=body))


async def _ask_with(http: aiohttp.ClientSession, url: str, body: bytes) -> Answer:
    kind = "image/png" if body.startswith(PICTURE) else "application/json"
    return await _answered(http.post(url, data=io.BytesIO(body), headers={"content-type": kind}))


async def _answered(asking: AbstractAsyncContextManager[aiohttp.ClientResponse]) -> Answer:
    begin = time.perf_counter()
    try:
        async with asking as answer:
            await answer.read()
            status = answer.status
    except aiohttp.ClientError:
        status = 0
    return Answer(status, time.perf_counter() - begin)


def latency(answers: Sequence[Answer]) -> Latency:
    """Of answers. Raises: RuntimeError when not every request was answered with an image."""
    if any(answer.status != _OK for answer in answers):
        raise RuntimeError(f"not an image: {sorted({answer.status for answer in answers})}")
    hundredths = quantiles((answer.took_s for answer in answers), n=100)
    return Latency(p50_s=hundredths[49], p99_s=hundredths[98], requests=len(answers))
