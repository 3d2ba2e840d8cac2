"""What the gateway asks of pods, over real connections: bounds, encodings, and connections that break."""

import asyncio
import base64
import gc
import gzip
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from tests.unit.gateway.fakes import FakePod

from lorapool_api.wire import bundle
from lorapool_api.wire.reply import GenerateReply, MadeImage, Timings
from lorapool_api.wire.request import GenerateRequest, ImageFormat
from lorapool_api.wire.state import ServingStatus, Tier
from lorapool_gateway.cluster.snapshot import RuntimePod
from lorapool_gateway.http.openai import dialect as openai
from lorapool_gateway.pods import client as pods
from lorapool_gateway.pods.client import ConnectionLost, InvalidReply, PodClient, RequestRefused, Unreachable

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


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next((line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b": 0")
    await reader.readexactly(int(length.partition(b":")[2]))
    return head


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


@pytest.mark.parametrize("picture", ["aGVsbG8=", 'a","steps":9,"x":"', "é\n", "abc"])
async def test_a_picture_reaches_the_pod_as_it_is_whatever_it_is(client: PodClient, picture: str) -> None:
    got: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        got.append(await reader.readexactly(int(length.partition(b":")[2])))
        writer.write(http(reply(b"image").model_dump_json().encode()))
        await writer.drain()

    sent = REQUEST.model_copy(update={"image": picture, "mask": "aGVsbG8=", "strength": 0.5})
    async with pod_that(talk) as pod:
        await client.generate(pod, sent, MEGABYTE)
        await client.generate(pod, REQUEST, MEGABYTE)
    assert [GenerateRequest.model_validate_json(body) for body in got] == [sent, REQUEST]


@pytest.fixture
async def client() -> AsyncIterator[PodClient]:
    async with PodClient() as made:
        yield made


async def test_a_connection_that_a_pod_had_closed_while_it_idled_costs_the_request_nothing(client: PodClient) -> None:
    connections = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await read_request(reader)
        writer.write(http(reply(b"one").model_dump_json().encode()))
        # The next one on this connection meets a server that has just given it up.
        await read_request(reader)
        writer.transport.abort()

    async with pod_that(talk) as pod:
        await client.generate(pod, REQUEST, MEGABYTE)
        _, (image,) = await client.generate(pod, REQUEST, MEGABYTE)
        assert await image.raw() == b"one"
        assert connections == 2


async def test_a_pod_that_breaks_while_it_works_loses_the_request() -> None:
    received = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received
        await read_request(reader)
        writer.write(http(reply(b"one").model_dump_json().encode()))
        await read_request(reader)
        received += 1
        writer.transport.abort()

    async with pod_that(talk) as pod, PodClient(stale_s=0.0) as client:
        await client.generate(pod, REQUEST, MEGABYTE)
        with pytest.raises(ConnectionLost):
            await client.generate(pod, REQUEST, MEGABYTE)
        assert received == 1


async def test_a_connection_that_was_never_used_before_is_no_excuse(client: PodClient) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.transport.abort()

    async with pod_that(talk) as pod:
        with pytest.raises(ConnectionLost):
            await client.generate(pod, REQUEST, MEGABYTE)


async def test_where_nobody_listens_the_pod_is_unreachable(client: PodClient) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(Unreachable):
            await client.generate(RuntimePod("u", "p", "d/s", "127.0.0.1", unused.getsockname()[1]), REQUEST, MEGABYTE)


async def test_a_pod_is_asked_for_what_changed_since_it_spoke(client: PodClient) -> None:
    whole = ServingStatus(
        instance="i", digest="d", ready=True, pending=0, running=0, max_pending=4, version=7,
        tiers={"a/one": Tier.DISK, "a/two": Tier.HOST, "a/three": Tier.DISK},
    )  # fmt: skip
    change = whole.model_copy(
        update={"version": 9, "complete": False, "tiers": {"a/one": Tier.DEVICE}, "gone": ("a/two",)}
    )
    asked: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            asked.append((await read_request(reader)).split(b" ")[1])
            writer.write(http((change if len(asked) == 2 else whole).model_dump_json().encode()))

    async with pod_that(talk) as pod:
        first = await client.status(pod)
        second = await client.status(pod, first)
        assert second.tiers == {"a/one": Tier.DEVICE, "a/three": Tier.DISK}
        assert (second.complete, second.version) == (True, 9)
        assert await client.status(pod, second) == whole, "a pod that was started anew tells everything"
    assert asked == [b"/v1/status", b"/v1/status?since=7&instance=i", b"/v1/status?since=9&instance=i"]


async def test_a_change_of_what_was_never_told_is_no_answer(client: PodClient) -> None:
    change = ServingStatus(
        instance="i", digest="d", ready=True, pending=0, running=0, max_pending=4, version=7, complete=False
    )

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(http(change.model_dump_json().encode()))

    async with pod_that(talk) as pod:
        with pytest.raises(InvalidReply):
            await client.status(pod)


@pytest.mark.parametrize("status", ["200 OK", "500 No"])
async def test_of_an_answer_without_end_only_so_much_is_read(client: PodClient, status: str) -> None:
    sent = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_request(reader)
        writer.write(f"HTTP/1.1 {status}\r\ntransfer-encoding: chunked\r\n\r\n".encode())
        while True:
            writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
            await writer.drain()
            sent += 0x10000

    async with pod_that(talk) as pod:
        with pytest.raises(InvalidReply, match="larger than"):
            await client.generate(pod, REQUEST, MEGABYTE)
        with pytest.raises(InvalidReply, match="larger than"):
            await client.status(pod)
    # What the kernel's buffers hold of both comes on top.
    assert sent < pods.STATUS_MAX_BYTES + MEGABYTE + 32 * MEGABYTE


async def test_answers_are_asked_for_as_they_are_and_never_unpacked(client: PodClient) -> None:
    asked = b""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked = (await read_request(reader)).lower()
        bomb = gzip.compress(reply(b"one").model_dump_json().encode())
        writer.write(http(bomb, headers="content-encoding: gzip\r\n"))

    async with pod_that(talk) as pod:
        with pytest.raises(InvalidReply):
            await client.generate(pod, REQUEST, MEGABYTE)
    assert b"accept-encoding: identity" in asked


async def test_a_pods_error_keeps_its_words_and_strange_ones_their_status(client: PodClient) -> None:
    answers = [http(b'{"code": "FromTheFuture", "message": "no"}', "418 No"), http(b"<html>", "502 Bad Gateway")]

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await read_request(reader)
            writer.write(answer)

    async with pod_that(talk) as pod:
        with pytest.raises(RequestRefused) as refused:
            await client.generate(pod, REQUEST, MEGABYTE)
        assert refused.value.reply is not None
        assert (refused.value.reply.code, refused.value.reply.message) == ("FromTheFuture", "no")
        with pytest.raises(RequestRefused) as refused:
            await client.generate(pod, REQUEST, MEGABYTE)
        assert (refused.value.status, refused.value.reply) == (502, None)


@pytest.mark.parametrize("text", ['{"data": "AA=="}', '{"data":"A\\\\"}', '{"data":"AAA"}', '{"data":"AA\nA"}'])
async def test_what_is_no_base64_is_no_image(client: PodClient, text: str) -> None:
    whole = reply(b"").model_dump_json().replace('{"data":""', text.removesuffix("}"))

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(http(whole.encode()))

    async with pod_that(talk) as pod:
        if "AA==" in text:  # JSON as another version might write it
            _, (image,) = await client.generate(pod, REQUEST, MEGABYTE)
            assert await image.raw() == b"\0"
        else:
            with pytest.raises(InvalidReply):
                await client.generate(pod, REQUEST, MEGABYTE)


async def test_pods_are_asked_for_images_as_they_are(client: PodClient) -> None:
    asked = b""
    made = reply(b"one", b"three")

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked = (await read_request(reader)).lower()
        body = bundle.head(made, (b"one", b"three")) + b"onethree"
        writer.write(http(body).replace(b"application/json", bundle.MEDIA_TYPE.encode(), 1))

    async with pod_that(talk) as pod:
        found, images = await client.generate(pod, REQUEST, MEGABYTE)
    assert f"accept: {bundle.MEDIA_TYPE}".encode() in asked
    assert [await image.raw() for image in images] == [b"one", b"three"]
    assert [image.seed for image in found.images] == [0, 1]
    assert [image.base64_bytes for image in images] == [4, 8]


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body[:-1],
        lambda body: body + b"x",
        lambda body: b"\xff" + body[1:],
        lambda body: body.replace(b'"sizes":[3,5]', b'"sizes":[8]  '),
        lambda body: body.replace(b'"sizes":[3,5]', b'"sizes":[9,-1]').replace(
            body[:4], (len(body) - 11).to_bytes(4, "big")
        ),
        lambda body: b"",
        lambda body: b"\0\0\0\2{}",
    ],
)
def test_what_is_no_bundle_is_refused(change: Callable[[bytes], bytes]) -> None:
    body = bundle.head(reply(b"one", b"three"), (b"one", b"three")) + b"onethree"
    assert bundle.split(body)[0].pod == "p"
    with pytest.raises(ValueError):  # noqa: PT011 -- pydantic's is one too
        bundle.split(change(body))


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
    made, found = await client.generate(pod, REQUEST.model_copy(update={"images": 4}), 64 * MEGABYTE)
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
            await client.status(pod)
        return time.process_time() - before_s

    async with pod_that(talk) as pod:
        await client.status(pod)
        alone_s = min([await cost_s(pod) for _ in range(3)])
        others = [asyncio.create_task(client.generate(pod, REQUEST, MEGABYTE)) for _ in range(most)]
        await asyncio.wait_for(all_held.wait(), 30)
        beside_s = min([await cost_s(pod) for _ in range(3)])
        release.set()
        await asyncio.gather(*others)
    assert beside_s < 2 * alone_s
