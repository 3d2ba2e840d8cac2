"""What a request costs the gateway: of its event loop, its memory and its connections."""

import asyncio
import base64
import gc
import socket
import threading
import time

import pytest
from tests.unit.gateway.fakes import FakePod
from tests.unit.gateway.pods.connections import (
    MEGABYTE,
    REQUEST,
    all_there,
    http,
    pod_that,
    read_request,
    reply,
    status_of,
)

from lorapool_api.wire import bundle
from lorapool_gateway.cluster.snapshot import RuntimePod
from lorapool_gateway.http.openai import dialect as openai
from lorapool_gateway.pods.client import PodClient


@pytest.mark.usefixtures("no_collection")
@pytest.mark.parametrize("is_bundle", [True, False], ids=["bundle", "json"])
async def test_several_large_images_hold_the_event_loop_for_no_longer_than_a_moment(
    client: PodClient, is_bundle: bool
) -> None:
    """Of the loop's own CPU time, so that a busy machine changes nothing; parsed as one text they take far longer."""
    images = tuple(bytes([i]) * (4 * MEGABYTE) for i in range(4))
    answer = http(reply(*images).model_dump_json().encode())
    if is_bundle:
        whole = b"".join([bundle.head(reply(*images), images), *images])
        answer = http(whole).replace(b"application/json", bundle.MEDIA_TYPE.encode(), 1)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            while b"\r\n\r\n" not in connection.recv(65536):
                pass
            connection.sendall(answer)
            connection.recv(1)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    longest_s = 0.0
    done = False

    async def tick() -> None:
        nonlocal longest_s
        while not done:
            before_s = time.thread_time()
            await asyncio.sleep(0)
            longest_s = max(longest_s, time.thread_time() - before_s)

    ticking = asyncio.create_task(tick())
    pod = RuntimePod("u", "p", "d/s", "127.0.0.1", listener.getsockname()[1])
    made, found = all_there(await client.generate(pod, REQUEST.model_copy(update={"images": 4}), 64 * MEGABYTE))
    message = openai.message(made, found, created=1, as_url=False)
    size = sum([len(piece) async for piece in message.pieces()])
    done = True
    await ticking
    listener.close()
    assert size == message.size_bytes > 4 * 5 * MEGABYTE
    assert longest_s < 0.05


async def test_large_pictures_are_sent_as_the_pod_takes_them(client: PodClient) -> None:
    """A pod that takes its time: what waits in the gateway's connection is a piece of the pictures, not all of them."""
    picture = base64.b64encode(bytes(11 * MEGABYTE)).decode()
    sent = REQUEST.model_copy(update={"image": picture, "mask": picture})
    may_read, begun = asyncio.Event(), asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        begun.set()
        await may_read.wait()
        await read_request(reader)
        writer.write(http(reply(b"image").model_dump_json().encode()))
        await writer.drain()

    async with pod_that(talk) as pod:
        asking = asyncio.create_task(client.generate(pod, sent, MEGABYTE))
        async with asyncio.timeout(30):
            await begun.wait()
            waiting = 0
            while waiting == 0:
                await asyncio.sleep(0)
                waiting = bytes_that_wait()
            may_read.set()
            await asking
    assert waiting < 4 * MEGABYTE


def bytes_that_wait() -> int:
    """In all connections of this process, for their other side to read."""
    # By their types: asked whether they are instances, some objects of other tests' libraries import a package.
    found = [thing for thing in gc.get_objects() if issubclass(type(thing), asyncio.WriteTransport)]
    return sum(connection.get_write_buffer_size() for connection in found if not connection.is_closing())


@pytest.mark.usefixtures("no_collection")
async def test_a_request_costs_the_same_however_many_others_are_in_flight(client: PodClient) -> None:
    """CPU time of requests beside 400 that are held, and beside none: a pool that is searched takes three times."""
    release, all_held = asyncio.Event(), asyncio.Event()
    held, most = 0, 400

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal held
        body = http(reply(b"one").model_dump_json().encode())
        while True:
            if b"/v1/generate" in await read_request(reader):
                held += 1
                if held == most:
                    all_held.set()
                await release.wait()
                writer.write(body)
                continue
            writer.write(http(FakePod("p").status.model_dump_json().encode()))

    async def cost_s(pod: RuntimePod) -> float:
        before_s = time.process_time()
        for _ in range(100):
            await status_of(client, pod)
        return time.process_time() - before_s

    async with pod_that(talk) as pod:
        await status_of(client, pod)
        alone_s = min([await cost_s(pod) for _ in range(3)])
        others = [asyncio.create_task(client.generate(pod, REQUEST, MEGABYTE)) for _ in range(most)]
        await asyncio.wait_for(all_held.wait(), 30)
        beside_s = min([await cost_s(pod) for _ in range(3)])
        release.set()
        await asyncio.gather(*others)
    assert beside_s < 2 * alone_s
