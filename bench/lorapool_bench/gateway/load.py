"""The load: requests one after the other, at fixed times, or all at once."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import aiohttp


@dataclass(frozen=True)
class Answer:
    """A status, and the seconds until its last byte."""

    status: int
    took_s: float


async def steady(url: str, body: dict[str, Any], in_flight: int, each: int, takes_s: float) -> list[Answer]:
    """`each` times as many requests as are in flight at once, the same number in each moment.

    Where an image takes no time (`takes_s` of 0) each request follows the answer to the one before it. Else they begin
    at fixed times, whether earlier ones were answered or not: clients that wait for their answers would come in
    bunches after the first stall, and the wait in a bunch would be measured instead of the way.
    """
    async with _session() as http:
        # The connections are open when the next ones are sent.
        await asyncio.gather(*(_ask(http, url, body) for _ in range(in_flight)))
        if not takes_s:
            return [await _ask(http, url, body) for _ in range(in_flight * each)]
        loop = asyncio.get_running_loop()
        begin, apart_s = loop.time(), takes_s / in_flight

        async def at(number: int) -> Answer:
            await asyncio.sleep(begin + number * apart_s - loop.time())
            return await _ask(http, url, body)

        return await asyncio.gather(*(at(number) for number in range(in_flight * each)))


async def burst(url: str, body: dict[str, Any], requests: int) -> list[Answer]:
    """All at once, each on a connection of its own."""
    async with _session() as http:
        return await asyncio.gather(*(_ask(http, url, body) for _ in range(requests)))


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=120), headers={"accept": "image/*"}
    )


async def _ask(http: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> Answer:
    begin = time.perf_counter()
    try:
        async with http.post(url, json=body) as answer:
            await answer.read()
            status = answer.status
    except aiohttp.ClientError:
        status = 0
    return Answer(status, time.perf_counter() - begin)
