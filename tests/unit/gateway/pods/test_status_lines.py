"""What pods say of themselves as it changes, and how the gateway follows it."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.unit.gateway.fakes import World
from tests.unit.gateway.pods.connections import pod_that, read_request
from tests.waiting import until

from lorapool_api.wire.gateways.stream import MEDIA_TYPE
from lorapool_api.wire.state import ServingCosts, ServingStatus, Tier
from lorapool_gateway.pods.client import PodClient
from lorapool_gateway.pods.errors import ConnectionLost
from lorapool_gateway.pods.poller import Poller
from lorapool_gateway.pods.status_lines import LINE_MAX_BYTES, InvalidLines, statuses

COSTS = ServingCosts(image_s=1.0)
WHOLE = ServingStatus(
    instance="i", digest="d", ready=True, pending=0, running=0, max_pending=4, version=7, tiers={"a/one": Tier.DISK},
    costs=COSTS,
)  # fmt: skip
CHANGE = WHOLE.model_copy(update={"complete": False, "version": 8, "tiers": {"a/two": Tier.HOST}, "costs": None})


def line(status: ServingStatus) -> bytes:
    return status.model_dump_json(exclude_none=True).encode() + b"\n"


async def read(*chunks: bytes, known: ServingStatus | None = None) -> list[ServingStatus | None]:
    async def sent() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    return [status async for status in statuses(sent(), known, rest_s=0)]


async def test_a_status_changes_line_by_line_and_an_empty_one_says_that_it_does_not() -> None:
    first, second = line(WHOLE), line(CHANGE)
    said = await read(first[:20], first[20:] + b"\n", b"\n\n", second)
    assert said == [WHOLE, None, WHOLE.model_copy(update={"version": 8, "tiers": {**WHOLE.tiers, **CHANGE.tiers}})]


async def test_slices_are_one_status() -> None:
    some = WHOLE.model_copy(update={"more": True})
    rest = CHANGE.model_copy(update={"version": 7})
    assert [s.tiers for s in await read(line(some), line(rest)) if s] == [{"a/one": Tier.DISK, "a/two": Tier.HOST}]


async def test_a_pod_that_says_it_once_ends_no_line() -> None:
    assert await read(WHOLE.model_dump_json().encode()) == [WHOLE]


ENDLESS = WHOLE.model_copy(update={"costs": ServingCosts.model_construct(image_s=1e308)})


@pytest.mark.parametrize("sent", [b"{}\n", b"nothing\n", line(CHANGE), line(ENDLESS), b"x" * (LINE_MAX_BYTES + 1)])
async def test_what_is_no_status_or_too_long_is_refused(sent: bytes) -> None:
    with pytest.raises(InvalidLines):
        await read(sent)


async def test_the_client_reads_a_stream_until_it_breaks(client: PodClient) -> None:
    asked: list[bytes] = []
    first, second = asyncio.Event(), asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await read_request(reader))
        head = f"HTTP/1.1 200 OK\r\ncontent-type: {MEDIA_TYPE}\r\ntransfer-encoding: chunked\r\n\r\n"
        writer.write(head.encode())
        for sent, is_read in ((line(WHOLE), first), (b"\n", second)):
            writer.write(f"{len(sent):x}\r\n".encode() + sent + b"\r\n")
            await asyncio.wait_for(is_read.wait(), 30)
        writer.transport.abort()

    said = []
    async with pod_that(talk) as pod:
        following = client.follow(pod, None)
        for is_read in (first, second):
            said.append(await anext(following))
            is_read.set()
        with pytest.raises(ConnectionLost):
            await anext(following)
    assert said == [WHOLE, None]
    assert f"accept: {MEDIA_TYPE}".encode() in asked[0].lower()


async def test_a_request_that_did_not_reach_a_pod_asks_it_anew_though_it_goes_on_to_say_nothing_new(
    world: World,
) -> None:
    pod = world.pod()
    known: list[ServingStatus | None] = []

    class Network:
        async def follow(self, _: object, before: ServingStatus | None) -> AsyncIterator[ServingStatus | None]:
            known.append(before)
            yield WHOLE
            while True:
                await asyncio.sleep(0)
                yield None

    running = asyncio.create_task(Poller(world.directory, world.loads, Network()).run())  # type: ignore[arg-type]
    await until(lambda: world.loads.last_status(pod.pod) == WHOLE, "its status is known")
    world.loads.mark_unreachable(pod.pod)
    await until(lambda: len(known) == 2 and world.loads.of(pod.pod) is not None, "it is asked again")
    assert known[1] is None
    running.cancel()
    await asyncio.wait([running])
