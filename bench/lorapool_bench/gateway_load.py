"""The load: clients that ask again as soon as they have an answer, or all at once."""

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
    """So many clients, each with so many requests after one another.

    They begin spread over the time that an image takes, so that the same number begins and ends in each moment.
    """
    async with _session() as http:

        async def client(number: int) -> list[Answer]:
            await asyncio.sleep(takes_s * number / in_flight)
            # A first one opens the connection, and everybody else's is open too when the next one is sent.
            await _ask(http, url, body)
            return [await _ask(http, url, body) for _ in range(each)]

        found = await asyncio.gather(*(client(number) for number in range(in_flight)))
    return [answer for answers in found for answer in answers]


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
