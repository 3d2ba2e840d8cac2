"""What a connection takes of a client that sends what no client should."""

import asyncio
import contextlib
from asyncio import StreamWriter
from collections.abc import AsyncIterator, Callable

import pytest
from tests.unit.common.http.test_server import DEADLINE_S, REQUEST, Client, Running, serving

from lorapool_common.http.connection import MAX_HEAD_BYTES
from lorapool_common.http.server import Message, Receive, Send


class Sizes:
    """An application that answers with the number of headers that it was given and of bytes that it read."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            size += len(message.get("body", b""))
            more = message.get("more_body", False)
        self.seen.append((len(scope["headers"]), size))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def app() -> Sizes:
    return Sizes()


@pytest.fixture
async def running(app: Sizes) -> AsyncIterator[Running]:
    async with serving(app) as it:
        yield it


async def is_let_go(client: Client, beginning: bytes, then: bytes, most_bytes: int = 64 << 20) -> bool:
    """Whether the connection ends while the same is sent again and again."""
    sent = 0
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(DEADLINE_S):
            await client.send(beginning)
            while sent < most_bytes and not client.reader.at_eof():
                await client.send(then)
                sent += len(then)
                await asyncio.sleep(0)
    return sent < most_bytes


@pytest.mark.parametrize(
    ("beginning", "then"),
    [
        (b"GET /", b"x" * 4096),
        (b"GET / HTTP/1.1\r\nHost: x\r\n", b"a: b\r\n" * 999),
        (b"GET / HTTP/1.1\r\nHost: ", b"x" * 4096),
        (b"GET / HTTP/1.1\r\nHost: x\r\n", b"x" * 4096),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\na: ", b"x" * 4096),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"a: b\r\n" * 999),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;a=", b"x" * 4096),
    ],
    ids=["target", "headers", "header", "name", "trailer", "trailers", "extension"],
)
async def test_what_never_ends_around_a_body_ends_the_connection(
    running: Running, beginning: bytes, then: bytes
) -> None:
    assert await is_let_go(await running.connect(), beginning, then)


async def test_a_head_within_the_limit_is_read_in_any_pieces(app: Sizes, running: Running) -> None:
    head = REQUEST[:-2] + b"a: " + b"x" * (MAX_HEAD_BYTES - 100) + b"\r\n\r\n"
    client = await running.connect()
    for start in range(0, len(head), 1000):
        await client.send(head[start : start + 1000])
    assert (await client.reply())[0] == 200
    assert app.seen == [(2, 0)]


async def test_a_head_beyond_the_limit_is_refused_in_one_piece_too(app: Sizes, running: Running) -> None:
    client = await running.connect()
    await client.send(REQUEST[:-2] + b"a: " + b"x" * MAX_HEAD_BYTES + b"\r\n\r\n")
    assert (await client.reply())[0] == 400
    assert not app.seen


async def test_a_body_may_be_larger_than_a_head(app: Sizes, running: Running) -> None:
    client = await running.connect()
    for _ in range(2):
        await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000)
        assert (await client.reply())[0] == 200
    assert app.seen == [(2, 1_000_000)] * 2


async def test_trailers_are_no_headers(app: Sizes, running: Running) -> None:
    client = await running.connect()
    chunked = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"
    await client.send(chunked + b"0\r\nx-lorapool-pool: a/b\r\nauthorization: Bearer x\r\n\r\n")
    assert (await client.reply())[0] == 200
    assert app.seen == [(2, 2)]


@pytest.mark.parametrize(
    "around",
    [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked",
        b"Content-Length: 4\r\nContent-Length: 5",
        b"Transfer-Encoding : chunked",
        b"Transfer-Encoding: chunked, identity",
        b"Content-Length: +4",
    ],
)
async def test_two_readings_of_where_a_request_ends_are_refused(app: Sizes, running: Running, around: bytes) -> None:
    """One behind a proxy that reads it the other way would be a second request of somebody else."""
    client = await running.connect()
    await client.send(b"POST / HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n0\r\n\r\n" % around)
    assert (await client.reply())[0] == 400
    await client.closed()
    assert not app.seen


async def test_an_offer_of_another_protocol_is_declined_and_the_next_request_served(
    app: Sizes, running: Running
) -> None:
    """curl offers HTTP/2 so; what comes after it on the same connection would be read by nobody."""
    client = await running.connect()
    await client.send(
        REQUEST[:-2] + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n"
    )
    status, head = await client.reply()
    assert (status, b"connection: close" in head) == (200, True)
    await client.closed()
    assert len(app.seen) == 1


async def test_requests_that_come_at_once_are_answered_in_their_turn(app: Sizes, running: Running) -> None:
    client = await running.connect()
    await client.send(REQUEST * 3)
    assert [(await client.reply())[0] for _ in range(3)] == [200] * 3
    assert len(app.seen) == 3


async def test_a_client_that_ends_its_side_gets_the_answers_to_all_that_it_asked(app: Sizes, running: Running) -> None:
    client = await running.connect()
    await client.send(REQUEST * 3 + REQUEST[:-2])
    client.writer.write_eof()
    assert [(await client.reply())[0] for _ in range(3)] == [200] * 3
    await client.closed()
    assert len(app.seen) == 3


async def test_a_client_that_ends_its_side_within_a_body_is_gone(app: Sizes, running: Running) -> None:
    client = await running.connect()
    await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab")
    client.writer.write_eof()
    await client.closed()
    assert not app.seen


class Waits:
    """An application that waits for its client to go."""

    def __init__(self) -> None:
        self.asked = self.gone = 0
        self.changes = asyncio.Event()

    async def __call__(self, _scope: Message, receive: Receive, _send: Send) -> None:
        self.asked += 1
        self.changes.set()
        while (await receive())["type"] != "http.disconnect":
            pass
        self.gone += 1
        self.changes.set()


@pytest.mark.parametrize("goes", [StreamWriter.write_eof, StreamWriter.close], ids=["its side", "all"])
async def test_who_waits_for_a_client_to_go_is_told_whatever_the_client_sent_after_it(
    goes: Callable[[StreamWriter], None],
) -> None:
    app = Waits()
    async with serving(app) as running, asyncio.timeout(DEADLINE_S):
        client = await running.connect()
        await client.send(REQUEST * 3)
        await app.changes.wait()
        app.changes.clear()
        goes(client.writer)
        await app.changes.wait()
    assert (app.asked, app.gone) == (1, 1)
