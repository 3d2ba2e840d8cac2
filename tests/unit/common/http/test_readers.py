"""Clients that do not take their answers, over real connections."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial

import pytest
from tests.waiting import until

from lorapool_common.http.listening import bound_socket
from lorapool_common.http.server import Message, Receive, Send, Server

# More than two sockets of the loopback network hold.
BODY = bytes(32 << 20)
REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


async def large(scope: Message, receive: Receive, send: Send) -> None:
    headers = [(b"content-length", str(len(BODY)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})


@dataclass
class Served:
    """A server whose answers are large, and a client that has asked for one and taken nothing."""

    server: Server
    connection: socket.socket

    async def take(self, size: int) -> bytes:
        return await asyncio.get_running_loop().sock_recv(self.connection, size)

    @property
    def is_connected(self) -> bool:
        return bool(self.server.server_state.connections)


@contextlib.asynccontextmanager
async def served(take_timeout_s: float) -> AsyncIterator[Served]:
    listener = bound_socket("127.0.0.1", 0)
    server = Server(large, listener, take_timeout_s=take_timeout_s)
    running = asyncio.create_task(server.run_until_ended())
    await until(lambda: server.started, "it listens")
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    try:
        await loop.sock_connect(connection, listener.getsockname())
        await loop.sock_sendall(connection, REQUEST)
        made = Served(server, connection)
        await until(lambda: made.is_connected, "it is connected")
        yield made
    finally:
        connection.close()
        server.end(1)
        await running


async def test_a_client_that_takes_nothing_of_its_answer_is_let_go() -> None:
    async with served(take_timeout_s=0.2) as it:
        await until(lambda: not it.is_connected, "it is let go")


async def test_one_that_takes_a_little_now_and_then_gets_all_of_it() -> None:
    """It takes less than what makes the kernel ask the server for more, and longer than a client may take nothing."""
    taken, clock = 0, asyncio.get_running_loop().time
    async with served(take_timeout_s=0.3) as it:
        end = clock() + 1.0
        while taken <= len(BODY):
            piece = await it.take(32 << 10)
            if not piece:
                break
            taken += len(piece)
            pause = clock() + (0.1 if clock() < end else 0)
            await until(partial(_is_over, clock, pause), "a moment is over")
        assert taken > len(BODY)


def _is_over(clock: Callable[[], float], moment: float) -> bool:
    return clock() >= moment


async def test_usual_clients_have_a_minute() -> None:
    async with served(take_timeout_s=60.0) as it:
        with pytest.raises(AssertionError):
            await until(lambda: not it.is_connected, "it is let go", deadline_s=0.5)
