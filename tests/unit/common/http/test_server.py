"""The server that gateway and runtime share, spoken to over real connections."""

import asyncio
import contextlib
import socket
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from lorapool_common.http.listening import bound_socket
from lorapool_common.http.server import App, Message, Receive, Send, Server

DEADLINE_S = 30.0
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@dataclass
class Echo:
    """An application that answers once it may."""

    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    body: bytes = b"ok"

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        self.asked.set()
        await self.may_answer.wait()
        headers = [(b"content-length", str(len(self.body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


@dataclass
class Client:
    """One connection."""

    reader: StreamReader
    writer: StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def reply(self) -> tuple[int, bytes]:
        """(status, the reply's head in lower case); the body is read too."""
        async with asyncio.timeout(DEADLINE_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
            (length,) = (line.split(b":")[1] for line in head.splitlines() if line.startswith(b"content-length"))
            await self.reader.readexactly(int(length))
        return int(head.split()[1]), head

    async def closes_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self.closed()
        except TimeoutError:
            return False
        return True

    async def closed(self) -> None:
        """Wait until the server has closed the connection; it must not send anything before."""
        async with asyncio.timeout(DEADLINE_S):
            with contextlib.suppress(ConnectionResetError):
                assert await self.reader.read() == b""


@dataclass
class Running:
    server: Server
    port: int
    task: asyncio.Task[None]
    clients: list[Client] = field(default_factory=list)

    async def connect(self) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        self.clients.append(client)
        return client

    def takes_connections(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE_S).close()
        except OSError:
            return False
        return True

    async def ended(self) -> None:
        async with asyncio.timeout(DEADLINE_S):
            await self.task


@contextlib.asynccontextmanager
async def serving(app: App, **limits: Any) -> AsyncIterator[Running]:
    listener = bound_socket("127.0.0.1", 0)
    server = Server(app, listener, **limits)
    running = Running(server, listener.getsockname()[1], asyncio.create_task(server.run_until_ended()))
    listener.listen()
    try:
        yield running
    finally:
        for client in running.clients:
            client.writer.close()
        server.end(1)
        await running.ended()


@pytest.fixture
def app() -> Echo:
    made = Echo()
    made.may_answer.set()
    return made


async def test_replies_do_not_wait_for_the_clients_acknowledgement(app: Echo) -> None:
    async with serving(app) as it:
        client = await it.connect()
        await client.send(REQUEST)
        assert (await client.reply())[0] == 200
        accepted = [c.transport.get_extra_info("socket") for c in it.server.server_state.connections]
        assert [s.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for s in accepted] == [1]


async def test_a_client_that_sends_half_a_head_is_let_go(app: Echo) -> None:
    async with serving(app, head_timeout_s=0.2) as it:
        client = await it.connect()
        await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Ty")
        await client.closed()


async def test_so_is_one_that_does_it_on_a_connection_that_was_used(app: Echo) -> None:
    async with serving(app, head_timeout_s=0.2) as it:
        client = await it.connect()
        await client.send(REQUEST)
        assert (await client.reply())[0] == 200
        await client.send(REQUEST[:20])
        await client.closed()


async def test_a_byte_now_and_then_does_not_extend_the_limit_for_a_head(app: Echo) -> None:
    async with serving(app, head_timeout_s=0.3) as it:
        client = await it.connect()
        await client.send(b"GET /")
        async with asyncio.timeout(DEADLINE_S):
            while not await client.closes_within(0.05):
                with contextlib.suppress(ConnectionError):
                    await client.send(b"x")


async def test_a_client_that_never_says_anything_is_let_go(app: Echo) -> None:
    async with serving(app, keep_alive_s=1) as it:
        await (await it.connect()).closed()


async def test_the_limit_for_a_head_does_not_hold_for_the_request() -> None:
    app = Echo()
    async with serving(app, head_timeout_s=0.05, keep_alive_s=1) as it:
        slow = await it.connect()
        await slow.send(REQUEST)
        other = await it.connect()
        await other.send(REQUEST[:5])
        await other.closed()  # the limit has passed for one that came later
        await (await it.connect()).closed()  # so has that for one that says nothing
        app.may_answer.set()
        assert (await slow.reply())[0] == 200


async def test_more_connections_than_allowed_are_refused_in_words(app: Echo) -> None:
    async with serving(app, max_connections=2) as it:
        await it.connect()
        first = await it.connect()
        await first.send(REQUEST)
        status, head = await first.reply()
        assert (status, b"connection: close" in head) == (503, True)


async def test_idle_connections_outlive_those_of_the_usual_clients_and_proxies(app: Echo) -> None:
    async with serving(app) as it:
        assert it.server.config.timeout_keep_alive > 60


async def test_while_it_drains_it_serves_and_closes_after_each_reply(app: Echo) -> None:
    async with serving(app) as it:
        idle = await it.connect()
        await idle.send(REQUEST)
        assert b"connection: close" not in (await idle.reply())[1]
        it.server.drain()
        new = await it.connect()
        for client in (idle, new):
            await client.send(REQUEST)
            status, head = await client.reply()
            assert (status, b"connection: close" in head) == (200, True)
            await client.closed()


async def test_a_reply_that_had_begun_before_the_drain_closes_its_connection_too() -> None:
    may_end = asyncio.Event()

    async def streaming(scope: Message, receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"o", "more_body": True})
        await may_end.wait()
        await send({"type": "http.response.body", "body": b"k"})

    async with serving(streaming) as it:
        client = await it.connect()
        await client.send(REQUEST)
        async with asyncio.timeout(DEADLINE_S):
            await client.reader.readuntil(b"\r\n\r\no")
        it.server.drain()
        may_end.set()
        async with asyncio.timeout(DEADLINE_S):
            assert await client.reader.read() == b"k"


async def test_at_its_end_it_finishes_what_runs_and_closes_what_idles() -> None:
    app = Echo()
    async with serving(app) as it:
        idle, busy = await it.connect(), await it.connect()
        await busy.send(REQUEST)
        await asyncio.wait_for(app.asked.wait(), DEADLINE_S)
        it.server.end(within_s=DEADLINE_S)
        await idle.closed()
        app.may_answer.set()
        assert (await busy.reply())[0] == 200
        await it.ended()


async def test_a_slow_client_gets_all_of_a_large_reply_at_the_end() -> None:
    app = Echo(body=bytes(32 << 20))
    app.may_answer.set()
    async with serving(app) as it:
        client = await it.connect()
        await client.send(REQUEST)
        async with asyncio.timeout(DEADLINE_S):
            await client.reader.readuntil(b"\r\n\r\n")
            it.server.end(within_s=DEADLINE_S)
            while it.takes_connections():  # noqa: ASYNC110 -- nothing announces it
                await asyncio.sleep(0)
            await client.reader.readexactly(len(app.body))
            await it.ended()


async def test_a_request_that_takes_too_long_does_not_hold_up_the_end() -> None:
    app = Echo()
    async with serving(app) as it:
        client = await it.connect()
        await client.send(REQUEST)
        await asyncio.wait_for(app.asked.wait(), DEADLINE_S)
        it.server.end(within_s=0.1)
        await it.ended()
