"""One request and its answer on a connection, whatever the pod sends: bounded, and never another's answer."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest
import uvloop
from tests.unit.gateway.pods.connections import (
    ANSWER,
    JSON,
    MEGABYTE,
    REQUEST,
    all_there,
    http,
    pod_that,
    read_request,
    reply,
)
from tests.waiting import until

from lorapool_api.wire import bundle
from lorapool_gateway.pods.client import PodClient
from lorapool_gateway.pods.errors import ConnectionLost, RequestRefused
from lorapool_gateway.pods.exchange.answer import WAITING_BYTES
from lorapool_gateway.pods.exchange.connection import MAX_HEAD_BYTES
from lorapool_gateway.pods.exchange.connections import PodConnections
from lorapool_gateway.pods.exchange.head import post_head
from lorapool_gateway.pods.passing import ComingImage

CHUNKED = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"


class CountedConnections:
    """A pod that answers each request of each connection with the same bytes."""

    def __init__(self, answer: bytes, *, ends: bool = False) -> None:
        self.count = self.requests = 0
        self._answer = answer
        self._ends = ends

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.count += 1
        while True:
            await read_request(reader)
            self.requests += 1
            writer.write(self._answer)
            if self._ends:
                await writer.drain()
                return


async def images_of(client: PodClient, pod: CountedConnections, times: int = 2) -> list[bytes]:
    async with pod_that(pod.talk) as at:
        made = [all_there(await client.generate(at, REQUEST, MEGABYTE)) for _ in range(times)]
        return [await image.raw() for _, images in made for image in images]


@pytest.mark.parametrize(
    ("answer", "connections"),
    [
        (ANSWER, 1),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + ANSWER, 1),
        (CHUNKED + b"%x\r\n%s\r\n0\r\ntrailer: x\r\n\r\n" % (len(JSON), JSON), 1),
        (CHUNKED + b"".join(b"1;a=b\r\n%c\r\n" % byte for byte in JSON) + b"0\r\n\r\n", 1),
        (http(JSON, headers="connection: close\r\n"), 2),
        (ANSWER.replace(b"HTTP/1.1", b"HTTP/1.0"), 2),
        (ANSWER + ANSWER, 2),
        (ANSWER + b"\0", 2),
    ],
    ids=["plain", "interim", "chunked", "small chunks", "close", "1.0", "two at once", "more behind it"],
)
async def test_a_connection_is_used_again_where_nothing_is_left_on_it(
    client: PodClient, answer: bytes, connections: int
) -> None:
    pod = CountedConnections(answer)
    assert await images_of(client, pod) == [b"one", b"one"]
    assert (pod.count, pod.requests) == (connections, 2)


async def test_a_body_without_a_length_ends_with_its_connection(client: PodClient) -> None:
    answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n" + JSON
    assert await images_of(client, CountedConnections(answer, ends=True)) == [b"one", b"one"]


async def test_what_comes_while_nobody_asks_is_nobodys_answer(client: PodClient) -> None:
    may_send, was_lost = asyncio.Event(), asyncio.Event()
    connections = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await read_request(reader)
        writer.write(ANSWER)
        if connections == 1:
            await may_send.wait()
            writer.write(http(reply(b"foreign").model_dump_json().encode()))
            with contextlib.suppress(ConnectionError):
                await reader.read()
            was_lost.set()

    async with pod_that(talk) as pod:
        await client.generate(pod, REQUEST, MEGABYTE)
        may_send.set()
        await asyncio.wait_for(was_lost.wait(), 30)
        _, (image,) = all_there(await client.generate(pod, REQUEST, MEGABYTE))
    assert await image.raw() == b"one"
    assert connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        ANSWER[:-1],
        ANSWER[:40],
        CHUNKED + b"5\r\nab",
        CHUNKED + b"zz\r\n",
        http(JSON, headers="transfer-encoding: chunked\r\n"),
        http(JSON, headers="content-length: 1\r\n"),
        b"",
    ],
)
async def test_half_an_answer_and_what_is_none_is_a_lost_connection(client: PodClient, answer: bytes) -> None:
    with pytest.raises(ConnectionLost):
        await images_of(client, CountedConnections(answer, ends=True))


@pytest.mark.parametrize(
    ("begin", "on_and_on"),
    [
        (b"HTTP/1.1 200 ", b"O" * 1024),
        (b"HTTP/1.1 200 OK\r\nx: ", b"a" * 1024),
        (b"HTTP/1.1 200 OK\r\n", b"a: b\r\n" * 100),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
        (b"", b"\r\n" * 500),
        (CHUNKED, b"1;" + b"a" * 1024 + b"\r\nx\r\n"),
        (CHUNKED + b"0\r\n", b"a: b\r\n" * 100),
    ],
    ids=["reason", "value", "headers", "interim", "empty lines", "extensions", "trailers"],
)
async def test_what_is_around_a_body_has_a_bound(client: PodClient, begin: bytes, on_and_on: bytes) -> None:
    sent = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_request(reader)
        writer.write(begin)
        while True:
            writer.write(on_and_on)
            await writer.drain()
            sent += len(on_and_on)
            await asyncio.sleep(0)

    async with pod_that(talk) as pod:
        with pytest.raises(ConnectionLost):
            await client.generate(pod, REQUEST, MEGABYTE)
    # What the kernel's buffers hold comes on top.
    assert sent < MAX_HEAD_BYTES + 32 * MEGABYTE


async def test_a_request_that_nobody_waits_for_ends_its_connection(client: PodClient) -> None:
    asked, ended = asyncio.Event(), asyncio.Event()

    async def talk(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await read_request(reader)
        asked.set()
        try:
            await reader.read()
        finally:
            ended.set()

    async with pod_that(talk) as pod:
        asking = asyncio.create_task(client.generate(pod, REQUEST, MEGABYTE))
        await asyncio.wait_for(asked.wait(), 30)
        asking.cancel()
        await until(ended.is_set, "the pod sees it")


async def test_a_pod_that_refuses_a_large_request_need_not_read_it(client: PodClient) -> None:
    ended = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(http(b'{"code": "TooLarge", "message": "no"}', "413 No"))
        with contextlib.suppress(ConnectionError):
            while await reader.read(MEGABYTE):
                pass
        ended.set()

    picture = "A" * (12 * MEGABYTE)
    async with pod_that(talk) as pod:
        with pytest.raises(RequestRefused) as refused:
            await client.generate(pod, REQUEST.model_copy(update={"image": picture}), MEGABYTE)
        await asyncio.wait_for(ended.wait(), 30)
    assert refused.value.status == 413


async def test_of_an_image_that_nobody_takes_only_so_much_is_read(client: PodClient) -> None:
    size, sent = 64 * MEGABYTE, 0
    has_stalled = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_request(reader)
        head = bundle.head(reply(b""), (b"x" * size,))
        begin = f"HTTP/1.1 200 OK\r\ncontent-type: {bundle.MEDIA_TYPE}\r\ncontent-length: {len(head) + size}\r\n\r\n"
        writer.write(begin.encode() + head)
        while sent < size:
            writer.write(b"x" * MEGABYTE)
            try:
                async with asyncio.timeout(0.5):
                    await writer.drain()
            except TimeoutError:
                has_stalled.set()
                await writer.drain()
            sent += MEGABYTE

    async with pod_that(talk) as pod:
        _, image = await client.generate(pod, REQUEST, 2 * size, passes_on=True)
        assert isinstance(image, ComingImage)
        await asyncio.wait_for(has_stalled.wait(), 30)
        assert sent < WAITING_BYTES + 32 * MEGABYTE
        assert sum([len(piece) async for piece in image.pieces()]) == size
        image.close()


async def test_an_answer_that_is_let_go_twice_leaves_the_next_one_alone() -> None:
    connections = PodConnections()
    pod = CountedConnections(ANSWER)
    async with pod_that(pod.talk) as at:
        connection = await connections.made((at.ip, at.port))
        head = post_head("pod", "/", {"content-length": "0"})
        first = await connection.ask(head, b"")
        await first.readexactly(len(JSON))
        first.release()
        assert connections.kept((at.ip, at.port)) is connection
        second = await connection.ask(head, b"")
        first.release()
        first.close()
        assert await second.readexactly(len(JSON)) == JSON
        second.release()
    connections.close()


def test_a_header_that_would_begin_another_line_is_not_sent() -> None:
    for value in ("a\nb: c", "a\rb", "a\r\nb: c"):
        with pytest.raises(ValueError, match="line end"):
            post_head("pod", "/", {"x": value})


def on_uvloop(talk: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        await talk()

    uvloop.run(run())


def test_it_is_the_same_on_the_event_loop_of_the_product() -> None:
    async def talk() -> None:
        async with PodClient() as client:
            pod = CountedConnections(ANSWER)
            assert await images_of(client, pod, 3) == [b"one"] * 3
            assert pod.count == 1

    on_uvloop(talk)
