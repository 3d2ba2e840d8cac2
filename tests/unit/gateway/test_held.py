"""Bodies of requests that have no answer yet are bounded together."""

import asyncio

import httpx
import pytest
from tests.unit.gateway.fakes import World

from lorapool_gateway.errors import Busy
from lorapool_gateway.held import Bodies, WaitingRequests


def test_what_is_given_back_can_be_taken_again() -> None:
    bodies = Bodies(max_bytes=100)
    with bodies.share() as first:
        first.grow(60)
        with bodies.share() as second, pytest.raises(Busy):
            second.grow(41)
        with bodies.share() as third:
            third.grow(40)
    with bodies.share() as fourth:
        fourth.grow(100)


def test_each_pool_has_places_of_its_own() -> None:
    waiting = WaitingRequests()
    with waiting.place("a", 1):
        with pytest.raises(Busy), waiting.place("a", 1):
            pass
        with waiting.place("b", 1):
            pass
    with waiting.place("a", 1):
        pass


async def test_bodies_beyond_the_bound_are_refused_with_429_until_others_are_answered() -> None:
    world = World(max_held_bytes=1000)
    world.pool()
    pod = world.pod(hold=asyncio.Event())
    async with world.client() as client:
        first = asyncio.create_task(client.post("/", content="a cat " * 100))
        await asyncio.wait_for(pod.got_one.wait(), 30)
        refused = await client.post("/", content="a cat " * 100)
        assert refused.status_code == httpx.codes.TOO_MANY_REQUESTS
        assert refused.headers["x-should-retry"] == "true"
        assert pod.hold is not None
        pod.hold.set()
        assert (await first).status_code == httpx.codes.OK
        assert (await client.post("/", content="a cat " * 100)).status_code == httpx.codes.OK
