"""Bodies of requests that have no answer yet are bounded together."""

import asyncio
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from tests.unit.gateway.fakes import World
from tests.waiting import until

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


def test_one_caller_leaves_places_to_others() -> None:
    waiting = WaitingRequests()
    with ExitStack() as held:
        for _ in range(3):
            held.enter_context(waiting.place("a", 4, "flood"))
        with pytest.raises(Busy), waiting.place("a", 4, "flood"):
            pass
        with waiting.place("b", 4, "flood"), waiting.place("a", 4, "quiet"), pytest.raises(Busy):
            held.enter_context(waiting.place("a", 4, "another"))
    with waiting.place("a", 1, "flood"):
        pass
    with ExitStack() as held:
        for _ in range(4):
            held.enter_context(waiting.place("a", 4))


async def test_a_client_that_goes_while_its_request_is_held_takes_it_along() -> None:
    world = World()
    world.pool()
    gone = asyncio.Event()
    received = iter([{"type": "http.request", "body": b"a cat", "more_body": False}])

    async def receive() -> Any:
        message = next(received, None)
        if message is None:
            await gone.wait()
            return {"type": "http.disconnect"}
        return message

    async def send(_: Any) -> None:
        pass

    scope = {"type": "http", "method": "POST", "path": "/", "raw_path": b"/", "query_string": b"", "headers": []}
    asked = asyncio.create_task(world.app(scope | {"http_version": "1.1", "scheme": "http"}, receive, send))
    await until(lambda: b'waiting_requests{pool="default/shapes"} 1.0' in world.metrics.text(), "it is held")
    gone.set()
    await asked
    assert b'waiting_requests{pool="default/shapes"} 0.0' in world.metrics.text()
    assert b'outcome="client_gone"' in world.metrics.text()


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
