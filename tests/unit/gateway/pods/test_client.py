"""What the gateway asks of pods, over real connections: bounds, encodings, and connections that break."""

import asyncio
import gzip
import socket

import pytest
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

from lorapool_api.wire.state import ServingStatus, Tier
from lorapool_gateway.cluster.snapshot import RuntimePod
from lorapool_gateway.pods.client import PodClient
from lorapool_gateway.pods.errors import ConnectionLost, InvalidReply, RequestRefused, Unreachable
from lorapool_gateway.pods.status_lines import LINE_MAX_BYTES


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
        _, (image,) = all_there(await client.generate(pod, REQUEST, MEGABYTE))
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
        first = await status_of(client, pod)
        second = await status_of(client, pod, first)
        assert second.tiers == {"a/one": Tier.DEVICE, "a/three": Tier.DISK}
        assert (second.complete, second.version) == (True, 9)
        assert await status_of(client, pod, second) == whole, "a pod that was started anew tells everything"
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
            await status_of(client, pod)


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
        with pytest.raises(InvalidReply, match="than"):
            await status_of(client, pod)
    # What the kernel's buffers hold of both comes on top.
    assert sent < LINE_MAX_BYTES + MEGABYTE + 32 * MEGABYTE


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
