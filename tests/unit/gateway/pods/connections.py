"""Pods that are sockets: what a test writes to a connection is what the gateway reads."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from lorapool_api.wire.reply import GenerateReply, MadeImage, Timings
from lorapool_api.wire.request import GenerateRequest, ImageFormat
from lorapool_api.wire.state import ServingStatus
from lorapool_gateway.cluster.snapshot import RuntimePod
from lorapool_gateway.pods.client import PodAnswer, PodClient
from lorapool_gateway.pods.images import Image

REQUEST = GenerateRequest(prompt="a cat", seed=3)
MEGABYTE = 1 << 20
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def reply(*images: bytes) -> GenerateReply:
    return GenerateReply(
        images=tuple(MadeImage(data=base64.b64encode(data).decode(), seed=i) for i, data in enumerate(images)),
        format=ImageFormat.PNG,
        width=8,
        height=8,
        base="b",
        base_revision="r",
        adapters=(),
        pod="p",
        timings=Timings(),
    )


def http(body: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{headers}content-length: {len(body)}\r\n\r\n"
    return head.encode() + body


JSON = reply(b"one").model_dump_json().encode()
ANSWER = http(JSON)


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next((line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b": 0")
    await reader.readexactly(int(length.partition(b":")[2]))
    return head


def all_there(made: PodAnswer) -> tuple[GenerateReply, tuple[Image, ...]]:
    """A reply whose images are all there."""
    reply, images = made
    assert isinstance(images, tuple)
    return reply, images


@asynccontextmanager
async def pod_that(talk: Talk) -> AsyncIterator[RuntimePod]:
    """A pod whose connections are handled so."""
    talks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talks.add(task)
        try:
            await talk(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the other side has gone, or the test is over
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, backlog=1024)
    try:
        yield RuntimePod("uid", "pod", "default/shapes", "127.0.0.1", server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for task in talks:
            task.cancel()
        await asyncio.gather(*talks)


async def status_of(client: PodClient, pod: RuntimePod, known: ServingStatus | None = None) -> ServingStatus:
    """What a pod says that says it once."""
    said = [status async for status in client.follow(pod, known)]
    assert said[-1] is not None
    return said[-1]
