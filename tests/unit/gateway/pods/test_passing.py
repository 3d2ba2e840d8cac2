"""A large image on its way from a pod to a client that takes it as it is: bounded, and never whole in memory."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.streams import StreamReader
from tests.unit.gateway.pods.connections import MEGABYTE, REQUEST, all_there, http, pod_that, read_request, reply
from tests.waiting import until

from lorapool_api.wire import bundle
from lorapool_gateway.cluster.snapshot import RuntimePod
from lorapool_gateway.http.passed_on import PassedOnImage
from lorapool_gateway.pods.client import PodClient
from lorapool_gateway.pods.errors import ConnectionLost, InvalidReply
from lorapool_gateway.pods.passing import PASSED_BYTES, ComingImage, chunks_of, exactly

IMAGE = bytes(range(256)) * (MEGABYTE // 128)
HEAD = bundle.head(reply(b""), (IMAGE,))
ANSWER = http(HEAD + IMAGE).replace(b"application/json", bundle.MEDIA_TYPE.encode(), 1)
Message = MutableMapping[str, Any]
Send = Callable[[asyncio.StreamWriter], Awaitable[None]]


def pod_sending(send: Send) -> Any:
    """A pod that answers so, and then waits for the end of its connection."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await send(writer)
        await reader.read()

    return pod_that(talk)


async def coming(client: PodClient, pod: RuntimePod) -> ComingImage:
    found, image = await client.generate(pod, REQUEST, 64 * MEGABYTE, passes_on=True)
    assert isinstance(image, ComingImage)
    assert (found.pod, image.size_bytes) == ("p", len(IMAGE))
    return image


async def test_its_beginning_is_there_before_its_end_was_sent(client: PodClient) -> None:
    may_end, connections = asyncio.Event(), 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while await read_request(reader):
            writer.write(ANSWER[:-1])
            await may_end.wait()
            writer.write(ANSWER[-1:])

    async with pod_that(talk) as pod:
        for _ in range(2):
            may_end.clear()
            image, got = await coming(client, pod), b""
            async for piece in image.pieces():
                got += piece
                may_end.set()
            assert got == IMAGE
            image.close()
    assert connections == 1, "all of the first was read, so its connection is good for the second"


async def test_one_that_breaks_off_is_an_error(client: PodClient) -> None:
    async def send(writer: asyncio.StreamWriter) -> None:
        writer.write(ANSWER[:-1])
        await writer.drain()
        writer.close()

    async with pod_sending(send) as pod:
        image = await coming(client, pod)
        with pytest.raises(ConnectionLost):
            async for _ in image.pieces():
                pass
        image.close()


async def test_one_that_stalls_is_an_error() -> None:
    async def send(writer: asyncio.StreamWriter) -> None:
        writer.write(ANSWER[:-1])

    async with PodClient(stall_s=0.05) as client, pod_sending(send) as pod:
        image = await coming(client, pod)
        with pytest.raises(ConnectionLost):
            async for _ in image.pieces():
                pass
        image.close()


async def test_one_that_is_longer_than_the_pod_said_is_cut(client: PodClient) -> None:
    longer = http(HEAD + IMAGE + b"x").replace(b"application/json", bundle.MEDIA_TYPE.encode(), 1)

    async def send(writer: asyncio.StreamWriter) -> None:
        writer.write(longer)

    async with pod_sending(send) as pod:
        image, got = await coming(client, pod), [0]
        with pytest.raises(InvalidReply):
            got += [len(piece) async for piece in image.pieces()]
        assert sum(got) <= len(IMAGE)
        image.close()


@pytest.mark.parametrize("body", [HEAD[:9], HEAD + IMAGE[:9], b"\xff" * 9, b"\0\0\0\2{}"])
async def test_before_anything_is_passed_on_the_head_was_read(client: PodClient, body: bytes) -> None:
    small = bundle.head(reply(b""), (IMAGE[:PASSED_BYTES],))
    answer = http((small + body[len(HEAD) :]) if body.startswith(HEAD) else body)

    async def send(writer: asyncio.StreamWriter) -> None:
        writer.write(answer.replace(b"application/json", bundle.MEDIA_TYPE.encode(), 1))

    async with pod_sending(send) as pod:
        with pytest.raises((InvalidReply, ConnectionLost)):
            await client.generate(pod, REQUEST, MEGABYTE, passes_on=True)


async def test_a_connection_that_ends_between_two_reads_is_one_that_ended() -> None:
    """Of aiohttp's own reader. The gateway ended of it where it followed a pod's status."""
    protocol = BaseProtocol(asyncio.get_running_loop())
    content = StreamReader(protocol, 1 << 16)
    with pytest.raises(RuntimeError):
        await content.readany()
    with pytest.raises(OSError, match="closed"):
        await anext(chunks_of(content))
    with pytest.raises(OSError, match="closed"):
        await exactly(content, 1)


async def test_small_images_and_several_are_waited_for(client: PodClient) -> None:
    for images in ((IMAGE[:PASSED_BYTES],), (IMAGE, IMAGE)):
        whole = http(b"".join([bundle.head(reply(*[b""] * len(images)), images), *images]))

        async def send(
            writer: asyncio.StreamWriter,
            answer: bytes = whole.replace(b"application/json", bundle.MEDIA_TYPE.encode(), 1),
        ) -> None:
            writer.write(answer)

        async with pod_sending(send) as pod:
            _, found = all_there(await client.generate(pod, REQUEST, 64 * MEGABYTE, passes_on=True))
            assert [image.data for image in found] == list(images)


async def test_one_that_is_larger_than_it_may_be_is_refused(client: PodClient) -> None:
    async def send(writer: asyncio.StreamWriter) -> None:
        writer.write(ANSWER)

    async with pod_sending(send) as pod:
        with pytest.raises(InvalidReply):
            await client.generate(pod, REQUEST, len(IMAGE) - 1, passes_on=True)


async def answered(image: ComingImage, gone: asyncio.Event) -> list[Message]:
    """What a server is given to send, where the client goes at that time."""
    sent: list[Message] = []

    async def receive() -> Message:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await PassedOnImage(image, "image/png", {"x-lorapool-pod": "p"})({"type": "http"}, receive, send)
    return sent


async def test_a_client_that_takes_it_gets_it_with_its_length(client: PodClient) -> None:
    async def send(writer: asyncio.StreamWriter) -> None:
        writer.write(ANSWER)

    async with pod_sending(send) as pod:
        first, *rest = await answered(await coming(client, pod), asyncio.Event())
    headers = dict(first["headers"])
    assert (first["status"], headers[b"x-lorapool-pod"]) == (200, b"p")
    assert (headers[b"content-length"], headers[b"content-type"]) == (str(len(IMAGE)).encode(), b"image/png")
    assert b"".join(message["body"] for message in rest) == IMAGE
    assert [message.get("more_body", False) for message in rest[-2:]] == [True, False]


async def test_where_the_pod_breaks_off_the_answer_does(client: PodClient) -> None:
    async def send(writer: asyncio.StreamWriter) -> None:
        writer.write(ANSWER[:-1])
        await writer.drain()
        writer.close()

    async with pod_sending(send) as pod:
        sent = await answered(await coming(client, pod), asyncio.Event())
    assert sent[-1].get("more_body", False)


async def test_a_client_that_goes_ends_the_connection_to_the_pod(client: PodClient) -> None:
    ended, gone = asyncio.Event(), asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(ANSWER[:-1])
        try:
            await reader.read()
        finally:
            ended.set()

    async with pod_that(talk) as pod:
        answering = asyncio.create_task(answered(await coming(client, pod), gone))
        gone.set()
        await answering
        await until(ended.is_set, "the pod sees it")
