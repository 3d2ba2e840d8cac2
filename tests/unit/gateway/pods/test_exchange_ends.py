"""Connections to pods go at their end, with what came of their answers."""

import asyncio
import contextlib
import gc
import weakref

from tests.unit.gateway.pods.connections import ANSWER, JSON, pod_that, read_request
from tests.waiting import until

from lorapool_gateway.pods.exchange.connections import PodConnections
from lorapool_gateway.pods.exchange.head import post_head


async def test_what_came_of_an_answer_goes_with_its_connection() -> None:
    """Not when the garbage collector comes, which is seldom."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(ANSWER[:-1])
        await reader.read()

    connections = PodConnections()
    async with pod_that(talk) as pod:
        connection = await connections.made((pod.ip, pod.port))
        answer = await connection.ask(post_head("pod", "/", {"content-length": "0"}), b"")
        known = weakref.ref(answer)
        gc.disable()
        try:
            answer.close()
            del answer, connection
            await until(lambda: known() is None, "what came of it is let go")
        finally:
            gc.enable()
    connections.close()


async def test_connections_that_idle_are_ended() -> None:
    ended = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(ANSWER)
        with contextlib.suppress(ConnectionError):
            await reader.read()
        ended.set()

    connections = PodConnections(idle_s=0.05)
    async with pod_that(talk) as pod:
        connection = await connections.made((pod.ip, pod.port))
        answer = await connection.ask(post_head("pod", "/", {"content-length": "0"}), b"")
        assert await answer.readexactly(len(JSON)) == JSON
        answer.release()
        await asyncio.wait_for(ended.wait(), 30)
        assert connections.kept((pod.ip, pod.port)) is None
    connections.close()
